"""The text of fstab."""

from __future__ import annotations

from pathlib import Path

from agent.subsystems.storage import fstab


def test_parents_come_before_children_and_swap_last() -> None:
    text = fstab.render(
        [
            fstab.swap("/dev/disk/by-partuuid/s"),
            fstab.mount("/dev/disk/by-partuuid/e", "/boot/efi", "vfat", ("umask=0077",)),
            fstab.virtual("tmpfs", "/tmp", ("size=1M",)),
            fstab.mount("/dev/disk/by-partuuid/r", "/", "ext4", ("defaults",)),
        ]
    )
    comment, *lines = text.splitlines()
    assert comment.startswith("#")
    assert lines == [
        "/dev/disk/by-partuuid/r / ext4 defaults 0 1",
        "/dev/disk/by-partuuid/e /boot/efi vfat umask=0077 0 2",
        "tmpfs /tmp tmpfs size=1M 0 0",
        "/dev/disk/by-partuuid/s none swap sw 0 0",
    ]


def test_no_options_are_written_as_defaults() -> None:
    assert " ext4 defaults 0 2\n" in fstab.render([fstab.mount("/dev/x", "/data", "ext4", ())])


def test_blanks_in_paths_are_escaped_as_fstab_wants_them() -> None:
    text = fstab.render([fstab.mount("/dev/x", "/my data\\#1", "ext4", ())])
    assert "/dev/x /my\\040data\\134\\0431 ext4" in text


def test_the_file_is_rewritten_whole(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("/dev/old / ext4 defaults 0 1\n")
    fstab.write([fstab.mount("/dev/new", "/", "ext4", ())], tmp_path)
    assert "old" not in (tmp_path / "etc/fstab").read_text()
