"""Reading a Host Configuration: what is accepted, and what a refusal says."""

from pathlib import Path

import pytest

from agent.api import dump, load
from agent.api.errors import Kind, TridentError
from agent.api.load import ParseError

SAMPLES = Path(__file__).parents[2] / "data" / "conformance" / "host-configuration" / "valid"
PARTITION = """\
storage:
  disks:
  - id: os
    device: /dev/sda
    partitionTableType: gpt
    partitions:
    - id: p
      size: {size}
"""


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_upstreams_samples_survive_a_round_trip(sample: Path) -> None:
    configuration = load.load_file(sample)
    assert configuration.storage.disks
    assert load.load(dump.dump(configuration)) == configuration


def test_all_eight_samples_are_there() -> None:
    assert len(list(SAMPLES.glob("*.yaml"))) == 8


def problem(text: str) -> str:
    with pytest.raises(ParseError) as caught:
        load.load(text)
    assert caught.value.kind is Kind.INVALID_INPUT
    assert len(caught.value.problems) == 1
    return str(caught.value.problems[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("storge: {}", "line 1, column 1: storge: unknown field"),
        ("trident: {disable: off}", "line 1, column 20: trident.disable: expected true or false"),
        ("os: {hostname: 010}", "line 1, column 16: os.hostname: expected text"),
        ("os:\n  users: [{}]", "line 2, column 11: os.users[0].name: this field is required"),
        (PARTITION.format(size="1.5G"), "line 8, column 13: storage.disks[0].partitions[0].size"),
        (PARTITION.format(size="-1"), "is not a size"),
        (PARTITION.format(size="true"), "a whole number or text like 64M"),
        (PARTITION.format(size="16777216T"), "expected 0 to 2^64-1 bytes"),
        ("image: {url: nowhere, sha384: ignored}", "image.url: expected an absolute URL"),
        ("image: {url: 'file:///x', sha384: abc}", "96 hexadecimal digits"),
        ("scripts: {postConfigure: [{name: x}]}", "either 'content' or 'path'"),
        ("scripts: {postConfigure: [{content: x, path: /y}]}", "either 'content' or 'path'"),
        ("storage: {filesystems: [{deviceId: x, type: ext4}]}", "takes its type from the image"),
        ("storage: {filesystems: [{source: new, type: auto}]}", "with source 'new' can be: ext4"),
        ("storage: {filesystems: [{source: adopted, type: tmpfs}]}", "source 'adopted' can be"),
        ("storage: {encryption: {volumes: [], pcrs: [24]}}", "'24' is not a PCR"),
        ("os: {users: [{name: x, password: {type: plain}}]}", "expected 'type' to be one of"),
        ("", "expected a mapping with keys such as"),
        ("a: 1\na: 2", "line 2, column 1: a: 'a' is already set in line 1"),
        ("a: [", "line 2, column 1"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, expected: str) -> None:
    assert expected in problem(text)


def test_every_problem_is_reported_in_the_order_of_the_text() -> None:
    text = "os:\n  hostname: 5\n  nonsense: 1\ntrident:\n  disable: maybe\n"
    with pytest.raises(ParseError) as caught:
        load.load(text)
    assert [p.path for p in caught.value.problems] == [
        "os.hostname",
        "os.nonsense",
        "trident.disable",
    ]


def test_a_misspelt_field_gets_its_right_spelling_as_hint() -> None:
    with pytest.raises(ParseError) as caught:
        load.load("storage: {disks: [], filesytems: []}")
    assert caught.value.hint == "did you mean 'filesystems'?"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hostConfiguration: {}", "old-style-configuration"),
        ("allowedOperations: [stage]\nos: {}", "allowed-operations-in-host-configuration"),
    ],
)
def test_documents_of_another_style_are_recognised(text: str, code: str) -> None:
    with pytest.raises(ParseError) as caught:
        load.load(text)
    assert caught.value.code == code
    assert caught.value.hint


def test_a_missing_file_is_an_error_of_the_operator(tmp_path: Path) -> None:
    with pytest.raises(TridentError) as caught:
        load.load_file(tmp_path / "config.yaml")
    assert caught.value.identifier == "invalid-input/read-input-file"


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    big = tmp_path / "config.yaml"
    big.write_text("#" * (1 << 20) + "\n")
    with pytest.raises(ParseError, match="larger than 1048576 bytes"):
        load.load_file(big)


def test_short_forms_are_read_and_written() -> None:
    text = (
        "storage:\n"
        "  filesystems:\n"
        "  - deviceId: a\n"
        "    mountPoint: /srv\n"
        "  swap:\n"
        "  - deviceId: b\n"
    )
    configuration = load.load(text.replace("- deviceId: b", "- b"))
    assert configuration.storage.swap[0].device_id == "b"
    assert dump.dump(configuration) == text


def test_a_health_check_with_services_is_a_systemd_check() -> None:
    checks = load.load("health: {checks: [{systemdServices: [a]}, {content: x}]}").health.checks
    assert [type(check).__name__ for check in checks] == ["SystemdCheck", "Script"]


def test_badly_typed_internal_parameters_count_as_absent() -> None:
    params = load.load(
        "internalParams: {noTransition: 'true', uki: true, httpConnectionTimeoutSeconds: -1, x: 1}"
    ).internal_params
    assert params.uki
    assert not params.no_transition
    assert params.http_connection_timeout_seconds == 10
