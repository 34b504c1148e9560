"""What is refused because it is not implemented, and findings as errors."""

from pathlib import Path

import pytest

from agent.api.errors import Kind
from agent.api.load import ParseError, load, load_file
from agent.api.yamltext import Mark, Positions
from agent.check.findings import Finding, Severity, of_parse_error, require_clean, to_error
from agent.check.support import MISSING, Missing, unsupported

SAMPLES = Path(__file__).parents[2] / "data" / "conformance" / "host-configuration" / "valid"

ASKING = {
    "encrypted volumes": ("storage: {encryption: {volumes: [], pcrs: []}}", "storage.encryption"),
    "software RAID": (
        "storage: {raid: {software: [{id: a, name: a, level: raid1, devices: []}]}}",
        "storage.raid.software",
    ),
    "verity devices": (
        "storage: {verity: [{id: a, name: root, dataDeviceId: b, hashDeviceId: c}]}",
        "storage.verity",
    ),
    "adopted partitions": (
        "storage: {disks: [{id: a, device: /dev/sda, partitionTableType: gpt, partitions: [],"
        " adoptedPartitions: [{id: b}]}]}",
        "storage.disks[0].adoptedPartitions",
    ),
    "adopted filesystems": (
        "storage: {filesystems: [{deviceId: a, source: adopted}]}",
        "storage.filesystems[0].source",
    ),
    "new filesystems of this type": (
        "storage: {filesystems: [{source: new, type: tmpfs, mountPoint: /t}]}",
        "storage.filesystems[0].type",
    ),
    "this internal parameter": (
        "internalParams: {reencryptOnCleanInstall: true, harpoon: false}",
        "internalParams.reencryptOnCleanInstall",
    ),
    "swap on anything but a partition": ("storage: {swap: [a]}", "storage.swap[0]"),
}


@pytest.mark.parametrize("missing", MISSING, ids=lambda missing: missing.feature)
def test_each_missing_feature_is_refused_where_it_is_asked_for(missing: Missing) -> None:
    text, path = ASKING[missing.feature]
    (finding,) = unsupported(load(text))
    assert finding.path == path
    assert finding.kind is Kind.UNSUPPORTED_CONFIGURATION


@pytest.mark.parametrize("sample", ["simple", "basic"])
def test_a_plain_configuration_is_supported(sample: str) -> None:
    assert unsupported(load_file(SAMPLES / f"{sample}.yaml")) == []


WRONG = Finding("some-rule", "it is wrong", ("os", "users", 0), "fix it", line=3, column=5)
ODD = Finding("other-rule", "it is odd", severity=Severity.WARNING)


def test_warnings_alone_are_no_error() -> None:
    require_clean([ODD])
    assert to_error([ODD]) is None


def test_the_error_for_findings_carries_the_first_and_lists_all() -> None:
    error = to_error([ODD, WRONG, WRONG])
    assert error is not None
    assert error.identifier == "invalid-input/invalid-host-configuration-static"
    assert error.message.count("it is wrong") == 2
    assert error.fields == {"inner": "some-rule", "path": "os.users[0]"}


def test_a_finding_gets_the_line_of_the_nearest_value_that_exists() -> None:
    positions = Positions({(): Mark(1, 1), ("os",): Mark(2, 3)})
    assert Finding("x", "y", ("os", "users")).located(positions).line == 2


def test_problems_of_an_unreadable_document_become_findings() -> None:
    with pytest.raises(ParseError) as caught:
        load("os: {hostname: 5, x: 1}")
    assert [f.path for f in of_parse_error(caught.value)] == ["os.hostname", "os.x"]
