"""The COSI image format: metadata, sources, reader, stream, writer."""
