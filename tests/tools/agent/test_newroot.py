from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import ServicingType
from agent.engine import newroot
from agent.engine.context import Context, Facts
from agent.linux import mounts
from agent.linux.run import run, spawn
from tests.kit.mountinfo import mount_points

pytestmark = pytest.mark.tools


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    document = {
        "storage": {
            "filesystems": [
                {"deviceId": "data", "source": "new", "mountPoint": "/srv/data"},
                {"deviceId": "root", "mountPoint": "/"},
            ]
        }
    }
    facts = Facts()
    for name in ("root", "data"):
        image = tmp_path / f"{name}.img"
        with image.open("wb") as stream:
            stream.truncate(8 << 20)
        run(["mkfs.ext4", "-q", "-F", image])
        facts.partition_paths[name] = image
    root = tmp_path / "newroot"
    root.mkdir()
    yield Context(
        HostConfiguration.model_validate_json(json.dumps(document)),
        ServicingType.CLEAN_INSTALL,
        newroot=root,
        facts=facts,
    )
    if mounts.at(root) is not None:
        mounts.unmount(root, recursive=True)


def test_everything_is_mounted_inside_the_block_and_nothing_after_it(context: Context) -> None:
    with newroot.mounted(context) as root:
        assert mount_points(root) == [root, root / "run", root / "srv/data", root / "tmp"]
        with newroot.chrootable(root):
            assert (root / "proc/self").exists()
            assert (root / "dev/null").is_char_device()
        (root / "srv/data/file").touch()
    assert mounts.at(root) is None
    with newroot.mounted(context) as root:
        assert (root / "srv/data/file").exists()


def test_an_error_inside_passes_and_everything_comes_off(context: Context) -> None:
    error = TridentError(Kind.SERVICING, "run-post-configure-script", "no")
    with pytest.raises(TridentError) as caught, newroot.mounted(context):
        raise error
    assert caught.value is error
    assert mounts.at(context.newroot) is None


def test_a_failed_mount_takes_off_what_was_mounted_before_it(context: Context) -> None:
    context.facts.partition_paths["data"].write_bytes(b"no file system")
    with pytest.raises(TridentError, match="mount exited") as caught, newroot.mounted(context):
        pass
    assert "mounting" in caught.value.context[0]
    assert mounts.at(context.newroot) is None


def test_a_process_that_holds_the_newroot_is_named(context: Context, tmp_path: Path) -> None:
    with newroot.mounted(context) as root:
        with (
            spawn(["sleep", "60"], log=tmp_path / "log", cwd=root / "srv/data") as holder,
            pytest.raises(TridentError) as caught,
        ):
            newroot.release(root)
        assert caught.value.identifier == "servicing/unmount-newroot"
        assert caught.value.hint is not None
        assert f"{holder.pid} (sleep)" in caught.value.hint
    assert mounts.at(context.newroot) is None


def test_what_an_earlier_run_left_is_released(context: Context) -> None:
    entered = newroot.mounted(context)
    root = entered.__enter__()
    mounts.mount("tmpfs", root / "srv/data", filesystem="tmpfs")
    newroot.release(root)
    assert mounts.at(root) is None
