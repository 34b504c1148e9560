"""Which devices are written, formatted, made swap, at an install and at an update."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.subsystems.storage import filesystems, image_match, images
from agent.subsystems.storage.filesystems import NewFileSystem
from tests.unit.subsystems.storage.samples import CONFIGURATION, MIB, configuration, metadata

INSTALL, UPDATE = ServicingType.CLEAN_INSTALL, ServicingType.AB_UPDATE
STORAGE = configuration().storage
MATCHES = image_match.match(configuration(), metadata())


def test_image_file_systems_are_matched_by_mount_point() -> None:
    assert [(item.device_id, str(item.mount_path)) for item in MATCHES] == [
        ("esp", "/boot/efi"),
        ("root", "/"),
    ]


def test_an_install_writes_the_root_and_makes_the_esp_and_all_new_ones() -> None:
    written = filesystems.image_targets(STORAGE, MATCHES, INSTALL)
    assert [item.device_id for item in written] == ["root"]
    assert filesystems.to_make(STORAGE, MATCHES, INSTALL) == (
        NewFileSystem("trident", "ext4", "/var/lib/trident"),
        NewFileSystem("srv", "xfs", None),
        NewFileSystem("esp", "vfat", "/boot/efi"),
    )
    assert filesystems.swap_ids(STORAGE, INSTALL) == ("swap",)


def test_an_update_touches_pairs_only() -> None:
    written = filesystems.image_targets(STORAGE, MATCHES, UPDATE)
    assert [item.device_id for item in written] == ["root"]
    assert filesystems.to_make(STORAGE, MATCHES, UPDATE) == ()
    assert filesystems.swap_ids(STORAGE, UPDATE) == ()
    assert filesystems.image_targets(STORAGE, MATCHES[:1], UPDATE) == ()


def test_an_update_makes_new_file_systems_of_pairs_again() -> None:
    text = CONFIGURATION.replace(
        "    - {id: root, volumeAId: root-a, volumeBId: root-b}",
        "    - {id: root, volumeAId: root-a, volumeBId: root-b}\n"
        "    - {id: data, volumeAId: trident, volumeBId: srv}",
    ).replace("{deviceId: trident, ", "{deviceId: data, ")
    made = filesystems.to_make(configuration(text).storage, MATCHES, UPDATE)
    assert made == (NewFileSystem("data", "ext4", "/var/lib/trident"),)


def test_an_image_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    image_match.check_sizes(MATCHES, {"root": 512 * MIB, "esp": 1})
    image_match.check_sizes(MATCHES, {})
    with pytest.raises(TridentError, match="'root' only 536866816") as caught:
        image_match.check_sizes(MATCHES, {"root": 512 * MIB - 4096})
    assert caught.value.code == "filesystem-size-exceeds-block-device"


@pytest.mark.parametrize(
    ("filesystem", "read_only", "grown"),
    [("ext4", False, True), ("ext4", True, False), ("vfat", False, False), ("xfs", False, False)],
)
def test_only_writable_ext_file_systems_are_grown(
    filesystem: str, read_only: bool, grown: bool
) -> None:
    assert images.grows(filesystem, read_only=read_only) is grown
