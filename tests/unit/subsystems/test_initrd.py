"""Whether initrds are made anew. The tools are scripts that say that they ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.subsystem import Phase
from agent.reporting.recorder import Recorder
from agent.subsystems.initrd import Initrd, Inputs
from tests.kit.opened_image import image_of
from tests.unit.subsystems.boot.test_arguments import UKI, write
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration, metadata


def service(root: Path, *, change: bool, more: str = "", **described: Any) -> None:
    """Stage with or without a changed input."""
    inputs = Inputs()
    with image_of(metadata(**described)) as image:
        context = Context(
            configuration(CONFIGURATION + more),
            ServicingType.CLEAN_INSTALL,
            image=image,
            newroot=root,
        )
        for subsystem in (inputs, Initrd(inputs)):
            for step in subsystem.stage(context):
                execute([step], context, Recorder("install", []))
                if change and step.phase is Phase.PROVISION:
                    write(root, "etc/modprobe.d/a.conf", "options a b=1\n")


def test_an_initrd_that_lacks_nothing_is_left_alone(tmp_path: Path) -> None:
    service(tmp_path, change=False)


def test_an_image_without_a_tool_is_an_error_only_when_one_is_needed(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match="no 'update-initramfs' or 'dracut'") as caught:
        service(tmp_path, change=True)
    assert caught.value.code == "regenerate-initrd"


def test_who_wants_to_see_dracut_at_work_gets_a_new_initrd(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match="has to be made anew"):
        service(tmp_path, change=False, more="internalParams: {dracutDebug: true}\n")


def test_a_uki_holds_its_own_initrd(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    service(tmp_path, change=True, bootloader=UKI)
    assert "does not see what was configured" in caplog.text


@pytest.mark.tools
@pytest.mark.parametrize(
    ("os_id", "tool", "arguments"),
    [
        ("debian", "update-initramfs", "-u -k all"),
        ("azurelinux", "mkinitrd", ""),
        ("azurelinux", "dracut", "--force --regenerate-all --zstd"),
    ],
)
def test_each_family_has_its_tool(tmp_path: Path, os_id: str, tool: str, arguments: str) -> None:
    busybox(tmp_path)
    program = write(tmp_path, f"usr/sbin/{tool}", '#!/bin/sh\necho "$@" > /said\n')
    program.chmod(0o755)
    service(tmp_path, change=True, osRelease=f"ID={os_id}\n")
    assert (tmp_path / "said").read_text() == f"{arguments}\n"


@pytest.mark.tools
def test_what_the_tool_says_when_it_fails_is_in_the_error(tmp_path: Path) -> None:
    busybox(tmp_path)
    program = write(tmp_path, "usr/sbin/update-initramfs", "#!/bin/sh\necho no room; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(TridentError, match="exited with 1: no room") as caught:
        service(tmp_path, change=True)
    assert caught.value.code == "regenerate-initrd"


def busybox(root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin/sh").write_bytes(Path("/usr/bin/busybox").read_bytes())
    (root / "bin/sh").chmod(0o755)
