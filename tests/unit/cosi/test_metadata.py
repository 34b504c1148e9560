"""COSI metadata: upstream's samples, the rules of each version, and hostile documents."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.api.errors import TridentError
from agent.api.parttypes import Architecture
from agent.cosi import metadata
from agent.cosi.metadata import V1_2, CosiMetadata

FOLDER = Path(__file__).parents[2] / "data" / "conformance" / "cosi-metadata" / "v1.2"
VALID = sorted((FOLDER / "valid").glob("*.json"))
INVALID = sorted((FOLDER / "invalid").glob("*.json"))
GRUB: dict[str, Any] = json.loads((FOLDER / "valid" / "grub-simple.json").read_text())
Edit = Callable[[dict[str, Any]], object]


def refused(document: object) -> str:
    with pytest.raises(TridentError) as caught:
        metadata.parse(json.dumps(document).encode())
    assert caught.value.identifier == "invalid-input/load-cosi"
    return caught.value.message


def test_the_samples_are_there() -> None:
    assert (len(VALID), len(INVALID)) == (2, 12)


@pytest.mark.parametrize("sample", VALID, ids=lambda path: path.stem)
def test_valid_samples_are_read_and_survive_a_round_trip(sample: Path) -> None:
    parsed = metadata.parse(sample.read_bytes(), minimum=V1_2)
    assert metadata.parse(metadata.dump(parsed)) == parsed


@pytest.mark.parametrize("sample", INVALID, ids=lambda path: path.stem)
def test_invalid_samples_are_refused_where_version_1_2_is_needed(sample: Path) -> None:
    with pytest.raises(TridentError):
        metadata.parse(sample.read_bytes(), minimum=V1_2)


def test_what_the_sample_says_is_what_is_read() -> None:
    parsed = metadata.parse(json.dumps(GRUB).encode())
    assert parsed.os_arch is Architecture.X86_64
    assert parsed.os_id == "azurelinux"
    assert parsed.esp is not None
    assert parsed.esp.fs_uuid == "C3D4-250D"
    assert [str(image.mount_point) for image in parsed.filesystems] == ["/"]
    assert not parsed.is_uki


def test_a_unified_kernel_image_is_recognised() -> None:
    sample = FOLDER / "valid" / "verity-uki-systemd-boot.json"
    assert metadata.parse(sample.read_bytes()).is_uki


def region(document: dict[str, Any], index: int) -> dict[str, Any]:
    found: dict[str, Any] = document["disk"]["gptRegions"][index]
    return found


@pytest.mark.parametrize(
    ("version", "edit", "reason"),
    [
        ("1.0", lambda d: d["images"][1].update(mountPoint="/boot/efi"), "used by two"),
        ("1.0", lambda d: d["images"].pop(0), "exactly one ESP filesystem, found 0"),
        ("1.0", lambda d: d["images"][1]["image"].update(path="../x"), "not the path of a member"),
        ("1.0", lambda d: d["images"][1]["image"].update(path="/x"), "not the path of a member"),
        ("1.0", lambda d: d["images"][1].update(fsType="zfs"), "images.1.fsType"),
        ("1.0", lambda d: d.update(osArch="riscv64"), "not a known architecture"),
        ("1.1", lambda d: d.pop("bootloader"), "'bootloader' is required"),
        (
            "1.1",
            lambda d: d["bootloader"].update(systemdBoot={"entries": []}),
            "'grub' cannot have systemdBoot",
        ),
        (
            "1.1",
            lambda d: d.update(bootloader={"type": "systemd-boot", "systemdBoot": {"entries": []}}),
            "needs systemdBoot with entries",
        ),
        ("1.1", lambda d: d["osPackages"][0].pop("release"), "'bash' has no 'release'"),
        ("1.2", lambda d: d.pop("compression"), "'compression' is required"),
        ("1.2", lambda d: d.pop("disk"), "'disk' is required"),
        ("1.2", lambda d: d["disk"].pop("gptRegions"), "must be the primary GPT"),
        ("1.2", lambda d: region(d, 1).update(type="primary-gpt"), "more than one primary GPT"),
        ("1.2", lambda d: region(d, 1).update(number=0), "at least 1"),
        ("1.2", lambda d: region(d, 1).update(number=2), "number 2 is used twice"),
        ("1.2", lambda d: d["disk"]["gptRegions"].pop(), "belongs to no partition"),
        ("1.2", lambda d: region(d, 2)["image"].update(compressedSize=1), "described differently"),
        ("1.2", lambda d: region(d, 0)["image"].update(path="gpt"), "not in the folder"),
    ],
)
def test_each_version_has_its_rules(version: str, edit: Edit, reason: str) -> None:
    document = copy.deepcopy(GRUB) | {"version": version}
    edit(document)
    assert reason in refused(document)


def test_rules_of_a_later_version_do_not_bind_an_earlier_one() -> None:
    document = copy.deepcopy(GRUB) | {"version": "1.0"}
    for key in ("bootloader", "osPackages", "disk", "compression"):
        del document[key]
    assert metadata.parse(json.dumps(document).encode()).version == (1, 0)


def test_azure_container_linux_may_leave_its_packages_out() -> None:
    document = copy.deepcopy(GRUB) | {"osRelease": "VARIANT_ID=azurecontainerlinux\n"}
    del document["osPackages"]
    assert metadata.parse(json.dumps(document).encode()).os_packages is None


def test_a_later_minor_version_with_new_fields_is_read() -> None:
    document = copy.deepcopy(GRUB) | {"version": "1.9", "novelty": {"a": 1}}
    assert metadata.parse(json.dumps(document).encode()).version == (1, 9)


def test_another_major_version_is_refused_by_its_version() -> None:
    assert "version 2.0 is not supported" in refused({"version": "2.0"})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"version": "1.0", "version": "1.1"}', "'version' is given twice"),
        (b'{"version": NaN}', "NaN is not a number"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b" " * (16 << 20) + b"{}", "larger than 16777216 bytes"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"[]", "cannot be used"),
    ],
    ids=["duplicate", "nan", "deep", "utf-16", "empty", "large", "digits", "list"],
)
def test_hostile_documents_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(TridentError, match=reason):
        metadata.parse(data)


def test_architectures_are_read_in_any_case_and_written_in_the_kernels() -> None:
    document = copy.deepcopy(GRUB) | {"osArch": "AMD64"}
    parsed = metadata.parse(json.dumps(document).encode())
    assert json.loads(metadata.dump(parsed))["osArch"] == "x86_64"
    assert isinstance(parsed, CosiMetadata)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths to every value inside `value`."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*path, key))
    return found


JUNK: st.SearchStrategy[object]
JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(GRUB)), JUNK, st.booleans())
def test_a_document_with_a_wrong_value_is_read_or_refused(
    path: tuple[str | int, ...], junk: object, delete: bool
) -> None:
    document: Any = copy.deepcopy(GRUB)
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    if delete:
        del holder[path[-1]]
    else:
        holder[path[-1]] = junk
    data = json.dumps(document).encode()
    parsed, refusal = read(data)
    assert refusal in (None, "invalid-input/load-cosi")
    if parsed is not None:
        assert read(metadata.dump(parsed)) == (parsed, None)


def read(data: bytes) -> tuple[CosiMetadata | None, str | None]:
    """The metadata, or how it was refused."""
    try:
        return metadata.parse(data), None
    except TridentError as error:
        return None, error.identifier


def test_boot_entries_of_version_1_0_may_be_empty() -> None:
    document = copy.deepcopy(GRUB) | {
        "version": "1.0",
        "bootloader": {"type": "systemd-boot", "systemdBoot": {"entries": []}},
    }
    assert not metadata.parse(json.dumps(document).encode()).is_uki
