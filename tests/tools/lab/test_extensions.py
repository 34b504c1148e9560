"""The lab's extension images are what the agent and systemd take."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.api.extensions import ExtensionKind, Wanted
from agent.api.osconfig import Extension
from agent.subsystems.extensions import image
from lab import extensions, scenario

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("kind", ExtensionKind)
def test_an_image_is_named_hashed_and_of_its_kind(tmp_path: Path, kind: ExtensionKind) -> None:
    folder = "usr/share" if kind is ExtensionKind.SYSEXT else "etc"
    wanted = scenario.Extension(
        kind=scenario.ExtensionKind(kind), name="tools", files={f"{folder}/lab-tools": "one\n"}
    )
    sha384 = extensions.build(wanted, tmp_path / "tools-1.raw")
    assert sha384 == hashlib.sha384((tmp_path / "tools-1.raw").read_bytes()).hexdigest()
    listed = Wanted(kind, Extension(url="http://h/tools-1.raw", sha384=sha384))
    assert image.examine(tmp_path / "tools-1.raw", listed, Path("/")) == "tools"
    assert [path.name for path in tmp_path.iterdir()] == ["tools-1.raw"]
