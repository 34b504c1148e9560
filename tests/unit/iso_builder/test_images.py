"""The sample system's identifiers, geometry, texts, and the payload's platforms."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from iso_builder import osimage, packages, payload, rawimage, targetsystem
from iso_builder.cli import parser
from iso_builder.debian import Variant
from iso_builder.rawimage import MIB, Geometry, Identifiers


def test_every_version_and_variant_has_its_own_identifiers_and_keeps_them() -> None:
    names = [
        osimage.Options(variant, version).name
        for variant in osimage.BootVariant
        for version in ("1", "2", "2.1")
    ]
    made = [Identifiers.derive(name) for name in names]
    for field in ("disk", "esp_partition", "root_partition", "root_filesystem", "esp_volume"):
        assert len({getattr(one, field) for one in made}) == len(names)
    assert made == [Identifiers.derive(name) for name in names]


def test_the_esp_is_named_as_linux_writes_fat_volume_ids() -> None:
    made = Identifiers.derive("x")
    assert made.esp_filesystem == f"{made.esp_volume[:4]}-{made.esp_volume[4:]}".upper()
    assert len(made.esp_filesystem) == 9


def test_partitions_are_aligned_and_the_backup_table_has_room() -> None:
    geometry = Geometry(96 * MIB, 700 * MIB)
    assert geometry.root_start == 97 * MIB
    assert geometry.disk_bytes == 798 * MIB
    script = rawimage.partition_script(geometry, Identifiers.derive("x"))
    assert "start=2048, size=196608, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b" in script
    assert "start=198656, size=1433600, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709" in script


def test_the_root_file_system_is_sized_by_its_tree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3 * MIB))
    assert rawimage.root_bytes_for(tmp_path, spare_bytes=10 * MIB) == 14 * MIB


def test_grub_finds_the_root_by_its_own_uuid_in_exactly_one_entry() -> None:
    identifiers = Identifiers.derive("x")
    text = targetsystem.grub_config(identifiers, "6.1.0-1-amd64")
    assert f"search --no-floppy --fs-uuid --set=root {identifiers.root_filesystem}\n" in text
    linux = [line.split() for line in text.splitlines() if line.strip().startswith("linux ")]
    assert len(linux) == 1
    assert f"root=UUID={identifiers.root_filesystem}" in linux[0]
    assert "console=ttyS0,115200" in linux[0]


def test_os_release_tells_variant_and_version() -> None:
    assert targetsystem.marks("uki", "2").splitlines() == [
        'VARIANT="Trident sample (uki)"',
        "VARIANT_ID=trident-sample-uki",
        "IMAGE_ID=trident-sample",
        "IMAGE_VERSION=2",
    ]


@pytest.mark.parametrize("version", ["", "1/2", "a b", "$(x)", '1"'])
def test_versions_that_would_break_files_are_refused(version: str) -> None:
    with pytest.raises(TridentError) as caught:
        osimage.Options(version=version)
    assert caught.value.code == "image-version"


def test_wheels_are_chosen_for_the_targets_c_library_and_older_ones() -> None:
    platforms = payload.Interpreter("3.11", glibc_minor=36).platforms()
    assert platforms[0] == "manylinux_2_36_x86_64"
    assert "manylinux2014_x86_64" in platforms
    assert "manylinux_2_37_x86_64" not in platforms


def test_firmware_brings_its_component_and_nothing_else_does() -> None:
    assert packages.live((), ("htop",)).components == ("main",)
    recipe = packages.live(("firmware-bnx2x",), ())
    assert recipe.components == ("main", "non-free-firmware")
    assert "firmware-bnx2x" in recipe.packages


def test_loaders_and_kernels_are_unpacked_and_never_installed() -> None:
    flavours = [packages.kernel(flavour) for flavour in packages.KernelFlavour]
    loaders = [packages.newer_loaders(), packages.signed_loaders(), packages.bios_loaders()]
    recipes = [*loaders, *flavours]
    assert {recipe.variant for recipe in recipes} == {Variant.EXTRACT}


def test_sizes_are_read_with_their_units_and_bad_ones_refused() -> None:
    command = ["os-image", "-o", "x", "--size"]
    assert parser().parse_args([*command, "2G"]).size == 2 << 30
    with pytest.raises(SystemExit):
        parser().parse_args([*command, "big"])
