"""What is read offline from a disk image and an NVRAM file: a real disk, OVMF's own variables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.linux.run import run
from lab import firmware, offline
from lab.errors import LabError

pytestmark = pytest.mark.tools

MIB = 1 << 20
FAT32_STATE = 65  # byte of the boot sector; bit 0: not unmounted


@pytest.fixture
def nvram(tmp_path: Path) -> Path:
    path = tmp_path / "nvram.fd"
    firmware.create_nvram(firmware.Firmware.UEFI, path)
    return path


def make_disk(folder: Path, statuses: list[str]) -> Path:
    """A qcow2 disk with an ESP and a state partition; `statuses` are the datastore's rows."""
    content = folder / "content"
    content.mkdir(exist_ok=True)
    with closing(sqlite3.connect(content / "datastore.sqlite")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS hoststatus (id INTEGER PRIMARY KEY, contents)")
        for status in statuses:
            database.execute("INSERT INTO hoststatus (contents) VALUES (?)", (status,))
        database.commit()
    raw, esp, state = folder / "disk.raw", folder / "esp", folder / "state"
    for path, size in ((raw, 100 * MIB), (esp, 34 * MIB), (state, 16 * MIB)):
        path.unlink(missing_ok=True)
        with path.open("wb") as stream:
            stream.truncate(size)
    run(["mkfs.vfat", "-F32", str(esp)])
    (folder / "boot.efi").write_bytes(b"boots")
    run(["mmd", "-i", str(esp), "::EFI"])
    run(["mcopy", "-i", str(esp), str(folder / "boot.efi"), "::EFI/boot.efi"])
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(content), str(state)])
    table = "label: gpt\nstart=1MiB, size=34MiB, name=esp\nstart=40MiB, size=16MiB, name=trident\n"
    run(["sfdisk", "-q", str(raw)], stdin=table.encode())
    with raw.open("r+b") as disk:
        for path, start in ((esp, 1), (state, 40)):
            disk.seek(start * MIB)
            disk.write(path.read_bytes())
    image = folder / "disk.qcow2"
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)])
    return image


def test_the_last_row_and_the_files_of_the_esp_are_found(tmp_path: Path, nvram: Path) -> None:
    rows = ["servicingState: not-provisioned\n"]
    first = offline.examine(make_disk(tmp_path, rows), nvram)
    rows = ["servicingState: ab-update-staged\nabActiveVolume: volume-a\n"]
    found = offline.examine(make_disk(tmp_path, rows), nvram)
    assert (first.servicing_state, first.active) == ("not-provisioned", None)
    assert (found.servicing_state, found.active) == ("ab-update-staged", "volume-a")
    assert [one.rsplit(" ", 1)[0] for one in found.esp] == ["EFI/boot.efi 5"]
    assert (found.boot_next, found.boot_order, found.esp_check) == (None, (), "clean")
    assert first.combination != found.combination


def test_what_is_wrong_with_the_esp_is_said_in_its_checkers_words(
    tmp_path: Path, nvram: Path
) -> None:
    image = make_disk(tmp_path, ["servicingState: provisioned\n"])
    with (tmp_path / "disk.raw").open("r+b") as disk:
        disk.seek(1 * MIB + FAT32_STATE)
        disk.write(b"\x01")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(tmp_path / "disk.raw"), str(image)])
    found = offline.examine(image, nvram).esp_check
    assert found.startswith("repairable: Dirty bit is set.")
    assert str(tmp_path) not in found


def test_a_damaged_datastore_is_called_that(tmp_path: Path, nvram: Path) -> None:
    (tmp_path / "content").mkdir()
    image = make_disk(tmp_path, ["servicingState: provisioned\n"] * 2000)
    store = (tmp_path / "content" / "datastore.sqlite").read_bytes()
    assert offline.examine(image, nvram).servicing_state == "provisioned"
    disk = (tmp_path / "disk.raw").read_bytes()
    block = store[4096 : 4096 + 1024]
    assert disk.count(block) == 1
    (tmp_path / "disk.raw").write_bytes(disk.replace(block, bytes(1024)))
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(tmp_path / "disk.raw"), str(image)])
    assert offline.examine(image, nvram).servicing_state.startswith("damaged: ")


def test_a_disk_without_the_partition_is_refused(tmp_path: Path, nvram: Path) -> None:
    raw, image = tmp_path / "empty.raw", tmp_path / "empty.qcow2"
    raw.write_bytes(bytes(8 * MIB))
    run(["sfdisk", "-q", str(raw)], stdin=b"label: gpt\nstart=1MiB, size=2MiB, name=other\n")
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)])
    with pytest.raises(LabError, match="no partition named trident"):
        offline.examine(image, nvram)
