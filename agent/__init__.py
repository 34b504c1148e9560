"""`trident`: the on-host OS lifecycle agent. Floors and their import rule: docs/architecture.md."""

__version__ = "0.1.0"
