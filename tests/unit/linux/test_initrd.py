"""When an initrd has to be made anew: its inputs, and who makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.linux import initrd
from agent.linux.initrd import Tool

TOOL = Tool("mkinitrd", inputs=("etc/mkinitrd",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "etc/modprobe.d",
        "etc/udev/rules.d",
        "usr/sbin",
        "usr/bin",
        "etc/mdadm",
        "etc/systemd/network",
        "etc/modules-load.d",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/modprobe.d/a.conf").write_text("options a b=1\n")
    (tmp_path / "etc/fstab").write_text("/dev/sda1 / ext4 defaults 0 1\n")
    return tmp_path


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "etc/modprobe.d/a.conf").write_text("options a b=2\n"),
    "mode": lambda root: (root / "etc/modprobe.d/a.conf").chmod(0o600),
    "name": lambda root: (root / "etc/modprobe.d/a.conf").rename(root / "etc/modprobe.d/b.conf"),
    "gone": lambda root: (root / "etc/modprobe.d/a.conf").unlink(),
    "crypttab": lambda root: (root / "etc/crypttab").write_text("srv /dev/sda9 none luks\n"),
    "link": lambda root: (root / "etc/udev/rules.d/80-net.rules").symlink_to("/dev/null"),
    "interface": lambda root: (root / "etc/systemd/network/1.link").write_text("[Match]\n"),
    "tool": lambda root: (root / "etc/mkinitrd").write_text("COMPRESS=zstd\n"),
    "array": lambda root: (root / "etc/mdadm/mdadm.conf").write_text("ARRAY /dev/md/a\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_goes_into_an_initrd_changes_the_fingerprint(root: Path, change: str) -> None:
    before = initrd.fingerprint(root, TOOL)
    CHANGES[change](root)
    assert initrd.fingerprint(root, TOOL) != before


def test_what_does_not_go_into_an_initrd_leaves_the_fingerprint(root: Path) -> None:
    before = initrd.fingerprint(root, TOOL)
    (root / "etc/fstab").write_text("/dev/sdb1 / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("other\n")
    (root / "etc/modules-load.d/a.conf").write_text("a\n")
    (root / "etc/systemd/network/1.network").write_text("[Match]\n")
    (root / "etc/modprobe.d/a.conf").touch()
    assert initrd.fingerprint(root, TOOL) == before


def test_two_files_are_not_taken_for_one(root: Path) -> None:
    (root / "etc/modprobe.d/a.conf").write_text("ab")
    (root / "etc/modprobe.d/b.conf").write_text("c")
    before = initrd.fingerprint(root, TOOL)
    (root / "etc/modprobe.d/a.conf").write_text("a")
    (root / "etc/modprobe.d/b.conf").write_text("bc")
    assert initrd.fingerprint(root, TOOL) != before


def test_the_first_tool_that_is_there_is_used(root: Path) -> None:
    tools = (Tool("mkinitrd"), Tool("dracut", ("--force",)))
    assert initrd.find(root, tools) is None
    (root / "usr/bin/dracut").touch()
    assert initrd.find(root, tools) == tools[1]
    (root / "usr/sbin/mkinitrd").touch()
    assert initrd.find(root, tools) == tools[0]
