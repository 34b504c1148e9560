"""Whether an image satisfies a configuration."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.api.load import load
from agent.api.parttypes import Architecture
from agent.api.status import ServicingType
from agent.api.yamltext import dump
from agent.check.findings import Finding
from agent.cosi import metadata
from agent.cosi.fit import fit

FOLDER = Path(__file__).parents[2] / "data" / "conformance" / "cosi-metadata" / "v1.2" / "valid"
Doc = dict[str, Any]
Edit = Callable[[Doc], object]

GRUB: Doc = json.loads((FOLDER / "grub-simple.json").read_text()) | {"version": "1.1"}
HC: Doc = {
    "storage": {
        "disks": [
            {
                "id": "os",
                "device": "/dev/sda",
                "partitionTableType": "gpt",
                "partitions": [
                    {"id": "esp", "type": "esp", "size": "64M"},
                    {"id": "root-a", "type": "root", "size": "1G"},
                    {"id": "root-b", "type": "root", "size": "1G"},
                    {"id": "hash", "type": "root-verity", "size": "8M"},
                    {"id": "data", "size": "grow"},
                ],
            }
        ],
        "abUpdate": {"volumePairs": [{"id": "root", "volumeAId": "root-a", "volumeBId": "root-b"}]},
        "filesystems": [
            {"deviceId": "esp", "mountPoint": "/boot/efi"},
            {"deviceId": "root", "mountPoint": "/"},
        ],
    },
    "image": {"url": "https://host/os.cosi", "sha384": "ignored"},
}
HASH_FILE: Doc = {
    "path": "images/hash.rawzst",
    "compressedSize": 1,
    "uncompressedSize": 9 << 20,
    "sha384": "a" * 96,
}


def same(doc: Doc) -> None:
    """No edit."""


def compare(edit_hc: Edit = same, edit_image: Edit = same, **more: Any) -> list[Finding]:
    hc, image = copy.deepcopy(HC), copy.deepcopy(GRUB)
    edit_hc(hc)
    edit_image(image)
    return fit(load(dump(hc)), metadata.parse(json.dumps(image).encode()), **more)


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found if finding.is_error]


def add_data(doc: Doc) -> None:
    doc["storage"]["filesystems"].append({"deviceId": "data", "mountPoint": "/data"})


def add_image(doc: Doc, **more: object) -> None:
    doc["images"].append(copy.deepcopy(doc["images"][1]) | {"mountPoint": "/data"} | more)


def protect(doc: Doc) -> None:
    doc["images"][1]["verity"] = {"image": HASH_FILE, "roothash": "00"}


def want_verity(doc: Doc) -> None:
    doc["storage"]["verity"] = [
        {"id": "v", "name": "root", "dataDeviceId": "root-a", "hashDeviceId": "hash"}
    ]
    doc["storage"]["filesystems"][1]["deviceId"] = "v"


def test_the_sample_fits() -> None:
    assert compare(architecture=Architecture.X86_64) == []


def test_an_image_for_another_architecture_does_not_fit() -> None:
    found = compare(architecture=Architecture.AARCH64)
    assert codes(found) == ["mismatched-architecture"]


def test_an_unused_filesystem_of_the_image_must_be_allowed() -> None:
    def image(doc: Doc) -> None:
        add_image(doc, fsUuid="other")

    assert codes(compare(edit_image=image)) == ["unused-os-image-filesystem"]
    allowed = compare(lambda d: d.update(internalParams={"allowUnusedFilesystems": True}), image)
    assert [f.is_error for f in allowed] == [False]


def test_a_filesystem_that_the_image_lacks_is_missing() -> None:
    (finding,) = compare(add_data)
    assert finding.code == "missing-os-image-filesystem"
    assert finding.path == "storage.filesystems[2].mountPoint"


def test_an_ab_update_needs_only_what_has_two_sides() -> None:
    assert compare(add_data, servicing=ServicingType.AB_UPDATE) == []


def test_a_filesystem_without_a_mount_point_cannot_be_found_in_the_image() -> None:
    found = compare(lambda d: d["storage"]["filesystems"].append({"deviceId": "data"}))
    assert codes(found) == ["missing-os-image-filesystem"]


def test_filesystems_of_the_image_have_different_uuids() -> None:
    assert codes(compare(add_data, add_image)) == ["duplicate-fs-uuid"]


def test_an_update_must_not_have_the_uuid_of_the_active_side() -> None:
    uuid = GRUB["images"][1]["fsUuid"].upper()
    active = {"root": uuid}
    found = compare(servicing=ServicingType.AB_UPDATE, active_fs_uuids=active)
    assert codes(found) == ["duplicate-fs-uuid-ab-update"]
    assert compare(active_fs_uuids=active) == []
    assert compare(servicing=ServicingType.AB_UPDATE, active_fs_uuids={"root": "else"}) == []


def container_linux(doc: Doc, mount_point: str = "/usr", roothash: str | None = "AB12") -> None:
    """An Azure Container Linux image with a /usr that has verity."""
    doc["osRelease"] = 'ID=azurelinux\nVARIANT_ID="azurecontainerlinux"\n'
    add_image(doc, mountPoint=mount_point, fsUuid="c0ffee")
    if roothash is not None:
        doc["images"][-1]["verity"] = {"image": HASH_FILE, "roothash": roothash}


def two_usrs(doc: Doc) -> None:
    """A /usr on verity whose data device is an A/B pair."""
    disk = doc["storage"]["disks"][0]["partitions"]
    for side in "ab":
        disk.append({"id": f"usr-{side}", "type": "usr", "size": "1G"})
        disk.append({"id": f"usr-hash-{side}", "type": "usr-verity", "size": "64M"})
    doc["storage"]["abUpdate"]["volumePairs"] += [
        {"id": name, "volumeAId": f"{name}-a", "volumeBId": f"{name}-b"}
        for name in ("usr", "usr-hash")
    ]
    verity = {"id": "v", "name": "usr", "dataDeviceId": "usr", "hashDeviceId": "usr-hash"}
    doc["storage"]["verity"] = [verity]
    mount_point = {"path": "/usr", "options": "ro"}
    doc["storage"]["filesystems"].append({"deviceId": "v", "mountPoint": mount_point})


def update_of_container_linux(
    active_hash: str | None, edit_image: Edit = container_linux
) -> list[Finding]:
    return compare(
        two_usrs,
        edit_image,
        servicing=ServicingType.AB_UPDATE,
        active_fs_uuids={"usr": "c0ffee"},
        active_usr_hash=active_hash,
    )


def test_container_linux_may_have_the_uuid_of_the_active_usr_when_the_content_is_the_same() -> None:
    assert codes(update_of_container_linux("ab12")) == []


@pytest.mark.parametrize(
    ("active_hash", "edit_image", "why"),
    [
        ("ab13", container_linux, "root hashes differ"),
        (None, container_linux, "no usrhash="),
        ("ab12", lambda doc: container_linux(doc, roothash=""), "no verity root hash"),
    ],
)
def test_container_linux_must_prove_that_an_equal_uuid_means_equal_content(
    active_hash: str | None, edit_image: Edit, why: str
) -> None:
    (finding,) = update_of_container_linux(active_hash, edit_image)
    assert finding.error_code == "duplicate-fs-uuid-acl-verification-failed"
    assert why in finding.message


def test_container_linux_may_not_have_the_same_uuid_on_both_roots() -> None:
    def image(doc: Doc) -> None:
        container_linux(doc)
        doc["images"][1]["fsUuid"] = "1234"

    found = compare(
        two_usrs,
        image,
        servicing=ServicingType.AB_UPDATE,
        active_fs_uuids={"root": "1234"},
        active_usr_hash="ab12",
    )
    assert codes(found) == ["duplicate-fs-uuid-acl-verification-failed"]
    assert "only /usr" in found[0].message


@pytest.mark.parametrize(("edit_hc", "edit_image"), [(want_verity, same), (same, protect)])
def test_both_or_neither_have_verity(edit_hc: Edit, edit_image: Edit) -> None:
    assert codes(compare(edit_hc, edit_image))[0] == "verity-mismatch"


def test_the_hash_tree_must_fit_its_device() -> None:
    (finding,) = compare(want_verity, protect)
    assert finding.code == "filesystem-size-exceeds-block-device"
    assert "(9M) does not fit on 'hash' (8M)" in finding.message


def test_the_esp_is_mounted_where_the_image_has_it() -> None:
    found = compare(
        lambda d: d["storage"]["filesystems"][0].update(
            mountPoint="/efi", overrideEspMount="override"
        )
    )
    assert codes(found) == [
        "unused-os-image-filesystem",
        "missing-os-image-filesystem",
        "esp-mount-point-mismatch",
    ]


def test_the_esp_has_no_verity() -> None:
    found = compare(
        edit_image=lambda d: d["images"][0].update(verity={"image": HASH_FILE, "roothash": "00"})
    )
    assert codes(found) == ["unexpected-verity-on-esp"]


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_the_filesystem_with_boot_is_ext4(kind: str) -> None:
    found = compare(edit_image=lambda d: d["images"][1].update(fsType=kind))
    assert codes(found) == ["unsupported-boot-file-system-type"]


def test_a_filesystem_larger_than_its_partition_does_not_fit() -> None:
    """F15."""

    def grow(doc: Doc) -> None:
        doc["images"][1]["image"]["uncompressedSize"] = (1 << 30) + 1

    assert codes(compare(edit_image=grow)) == ["filesystem-size-exceeds-block-device"]
    unchecked: Doc = {"internalParams": {"disableFsBlockDeviceSizeCheck": True}}
    assert compare(lambda d: d.update(unchecked), grow) == []


def test_relaxed_validation_warns_of_what_can_be_carried_out_anyway() -> None:
    relaxed: Doc = {"internalParams": {"relaxedCosiValidation": True}}

    def image(doc: Doc) -> None:
        add_image(doc)
        doc["images"][1]["image"]["uncompressedSize"] = 2 << 30

    found = compare(lambda d: d.update(relaxed), image)
    assert [(f.code, f.is_error) for f in found] == [
        ("unused-os-image-filesystem", False),
        ("duplicate-fs-uuid", False),
        ("filesystem-size-exceeds-block-device", True),
    ]
