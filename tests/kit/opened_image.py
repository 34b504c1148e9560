"""An opened image of which only the metadata matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.cosi.metadata import CosiMetadata
from agent.cosi.reader import CosiImage
from agent.cosi.source import open_source


@contextmanager
def image_of(metadata: CosiMetadata) -> Iterator[CosiImage]:
    """An image with this metadata and no content."""
    with open_source(Path(__file__).as_uri()) as source:
        yield CosiImage(source, metadata, "0" * 96, {})
