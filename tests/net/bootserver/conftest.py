"""A boot server on the loopback address, shared by a module's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit import ports
from tests.kit.bootserver import BootServer, random_bytes, write_settings

IMAGE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    """Running, with one declared machine and `files/os.cosi`."""
    folder = tmp_path_factory.mktemp("server")
    made = BootServer(write_settings(folder, http=_http()))
    (folder / "files" / "os.cosi").write_bytes(random_bytes("os", IMAGE_BYTES))
    made.declare()
    with made.serving():
        yield made


@pytest.fixture
def own_server(tmp_path: Path) -> BootServer:
    """Not running yet, for one test alone."""
    made = BootServer(write_settings(tmp_path, http=_http()))
    (tmp_path / "files" / "os.cosi").write_bytes(random_bytes("os", IMAGE_BYTES))
    return made


def _http() -> dict[str, int]:
    return {"port": ports.claimed(), "workers": 2, "threads": 16}
