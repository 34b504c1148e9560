"""What a kernel image says of itself, and which modules a choice takes."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from agent.api.errors import TridentError
from iso_builder import modules
from iso_builder.kernel import Choice, Identity, identify

VERSION = (
    b"6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC"
    b" Debian 6.1.192-2 (2026-11-16)\0"
)


def bzimage(version: bytes = VERSION, magic: bytes = b"HdrS") -> bytes:
    image = bytearray(0x1000)
    image[0x202:0x206] = magic
    image[0x20E:0x210] = (0x400).to_bytes(2, "little")
    image[0x600 : 0x600 + len(version)] = version
    return bytes(image)


def test_release_and_package_version_are_read_from_the_image() -> None:
    identity = identify(bzimage())
    assert identity == Identity("6.1.0-56-amd64", "6.1.192-2")
    assert identity.package == "linux-image-6.1.0-56-amd64"


@pytest.mark.parametrize(
    "image",
    [b"", bytes(64), bzimage(magic=b"none"), bzimage(b"6.1.0 (me@home) #1 SMP\0")],
    ids=["empty", "short", "no kernel", "not Debian's"],
)
def test_other_files_are_refused(image: bytes) -> None:
    with pytest.raises(TridentError) as caught:
        identify(image)
    assert caught.value.code == "kernel-unreadable"


def test_a_choice_takes_folders_and_single_modules_and_drops_parts_of_them() -> None:
    choice = Choice(keep=("drivers/net", "fs/fat/vfat.ko"), drop=("drivers/net/wireless",))
    taken = [
        name
        for name in (
            "drivers/net/virtio_net.ko",
            "drivers/net/wireless/ath.ko",
            "drivers/network.ko",
            "fs/fat/vfat.ko",
            "fs/fat/msdos.ko",
        )
        if choice.takes(PurePosixPath(name))
    ]
    assert taken == ["drivers/net/virtio_net.ko", "fs/fat/vfat.ko"]


@pytest.mark.parametrize(
    "module",
    [
        "drivers/net/ethernet/intel/e1000e/e1000e.ko",
        "drivers/net/virtio_net.ko",
        "drivers/net/usb/r8152.ko",
        "drivers/nvme/host/nvme.ko",
        "drivers/ata/ahci.ko",
        "drivers/scsi/sr_mod.ko",
        "drivers/scsi/megaraid/megaraid_sas.ko",
        "drivers/usb/storage/uas.ko",
        "drivers/usb/host/xhci-pci.ko",
        "fs/squashfs/squashfs.ko",
        "fs/overlayfs/overlay.ko",
    ],
)
def test_the_initrd_has_the_drivers_between_firmware_and_root(module: str) -> None:
    assert modules.INITRD.takes(PurePosixPath(module))


def test_no_image_carries_desktop_drivers() -> None:
    for module in ("drivers/net/wireless/ath/ath9k/ath9k.ko", "drivers/gpu/drm/i915/i915.ko"):
        assert not modules.INITRD.takes(PurePosixPath(module))
        assert not modules.LIVE.takes(PurePosixPath(module))
