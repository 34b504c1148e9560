"""`trident` as a process of its own: output, exit statuses, files it writes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import agent
from agent import datastore
from agent.api.status import HostStatus, ServicingState
from agent.linux.run import Result, run

ROOT = Path(__file__).parents[3]
VALID = ROOT / "tests/data/conformance/host-configuration/valid"


def trident(*arguments: str | Path) -> Result:
    argv = [sys.executable, "-m", "agent.cli", *arguments]
    return run(argv, ok=range(-15, 256), env={"PYTHONPATH": os.fspath(ROOT)})


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text("storage:\n  disks: 7\n  foo: 1\nimage: {url: file:///x}\n")
    return path


def test_version_is_printed_without_importing_the_agent() -> None:
    result = trident("--version")
    assert (result.returncode, result.stdout) == (0, f"trident {agent.__version__}\n")
    probe = "import sys; from agent.cli import parser; parser(); print(*sys.modules)"
    loaded = run([sys.executable, "-c", probe], env={"PYTHONPATH": os.fspath(ROOT)}).stdout.split()
    assert not {"pydantic", "yaml", "requests", "sqlite3", "zstandard"} & set(loaded)


@pytest.mark.parametrize("sample", sorted(VALID.glob("*.yaml")), ids=lambda path: path.stem)
def test_upstreams_samples_are_valid(sample: Path) -> None:
    result = trident("validate", sample)
    assert result.returncode == 0, result.stdout
    assert f"{sample}: valid" in result.stdout


def test_validate_lists_every_problem_with_its_line(broken: Path) -> None:
    result = trident("validate", broken)
    assert result.returncode == 2
    assert f"{broken}:2:10: error: storage.disks: expected a list" in result.stdout
    assert f"{broken}:3:3: error: storage.foo: unknown field" in result.stdout
    assert "sha384" in result.stdout
    assert "    2 |   disks: 7\n                 ^\n" in result.stdout
    items = json.loads(trident("validate", broken, "--format", "json").stdout)
    assert [item["path"] for item in items] == [
        "storage.disks",
        "storage.foo",
        "image.sha384",
    ]


def test_validate_takes_several_files_and_reports_those_that_cannot_be_read(
    broken: Path,
) -> None:
    sample = VALID / "simple.yaml"
    result = trident("validate", sample, "/no/such.yaml", broken)
    assert result.returncode == 2
    assert f"{sample}: valid" in result.stdout
    assert "/no/such.yaml: error: cannot read /no/such.yaml" in result.stdout
    assert f"{broken}: invalid" in result.stdout


def test_validate_of_no_files_reads_the_default_path() -> None:
    if Path("/etc/trident/config.yaml").exists():
        pytest.skip("this machine has a Host Configuration")
    (item,) = json.loads(trident("validate", "--format", "json").stdout)
    assert (item["file"], item["code"]) == ("/etc/trident/config.yaml", "read-input-file")


def test_a_missing_file_is_an_input_error() -> None:
    result = trident("install", "--plan", "/no/such.yaml")
    assert result.returncode == 2
    assert "cannot read /no/such.yaml" in result.stderr
    assert "invalid-input/read-input-file" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["install", "--allowed-operations", "stage,fly"], ["-v", "LOUD", "get"]],
)
def test_a_command_line_that_is_not_understood_exits_with_1(arguments: list[str]) -> None:
    result = trident(*arguments)
    assert result.returncode == 1
    assert "trident" in result.stderr


def test_schema_is_json_schema() -> None:
    schema = json.loads(trident("schema").stdout)
    assert "storage" in schema["properties"]


def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    report = tmp_path / "error.yaml"
    multiboot = trident("install", "--multiboot", "--error", report)
    assert multiboot.returncode == 2
    assert "unsupported-configuration" in multiboot.stderr
    error = yaml.safe_load(report.read_text())
    assert error["category"] == "unsupported-configuration"
    assert set(error) == {"message", "error", "category", "location", "cause"}


@pytest.mark.parametrize(
    "arguments", [["update", "--allowed-operations", "finalize"], ["rollback"], ["commit"]]
)
def test_a_host_that_the_agent_did_not_install_is_left_alone(arguments: list[str]) -> None:
    result = trident(*arguments)
    assert result.returncode == 2
    assert "invalid-input/host-not-provisioned" in result.stderr


def test_install_plan_refuses_an_unsupported_field_by_its_path() -> None:
    result = trident("install", "--plan", VALID / "encryption.yaml")
    assert result.returncode == 2
    assert "storage.encryption" in result.stderr
    assert "unsupported-configuration/unsupported-configuration" in result.stderr


def test_install_plan_refuses_an_invalid_configuration(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("trident: {datastorePath: /x.db}\n")
    result = trident("install", "--plan", path)
    assert result.returncode == 2
    assert "invalid-input/invalid-host-configuration-static" in result.stderr


def installed(tmp_path: Path, status: HostStatus, *arguments: str | Path) -> Result:
    """`trident` on a host of its own: another /etc, and a datastore that holds `status`."""
    store = tmp_path / "store.sqlite"
    datastore.persist(status, store)
    conf = tmp_path / "etc/trident/trident.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(f"DatastorePath={store}\n")
    script = 'mount --bind "$1" /etc; mount -t tmpfs tmpfs /var/log; shift; exec "$@"'
    enter = ["unshare", "--mount", "sh", "-ec", script, "sh", os.fspath(tmp_path / "etc")]
    argv = [*enter, sys.executable, "-m", "agent.cli", *arguments]
    return run(argv, ok=range(256), env={"PYTHONPATH": os.fspath(ROOT)})


@pytest.mark.tools
def test_get_prints_what_is_remembered(tmp_path: Path) -> None:
    error: dict[str, Any] = {"message": "no", "error": "busy", "category": "servicing"}
    status = HostStatus(servicing_state=ServicingState.PROVISIONED, last_error=error)

    def get(*arguments: str | Path) -> str:
        return installed(tmp_path, status, "get", *arguments).stdout

    assert yaml.safe_load(get())["servicingState"] == "provisioned"
    assert yaml.safe_load(get("last-error")) == error
    assert yaml.safe_load(get("configuration")) == {}
    assert get("status", "--outfile", tmp_path / "out.yaml") == ""
    assert yaml.safe_load((tmp_path / "out.yaml").read_text())["lastError"] == error
    assert installed(tmp_path, HostStatus(), "get", "last-error").stdout == "null\n"


@pytest.mark.tools
def test_commit_writes_the_status_file_and_succeeds_when_nothing_waits(tmp_path: Path) -> None:
    status = HostStatus(servicing_state=ServicingState.PROVISIONED)
    result = installed(tmp_path, status, "commit", "--status", tmp_path / "s.yaml")
    assert result.returncode == 0, result.stderr
    assert yaml.safe_load((tmp_path / "s.yaml").read_text())["servicingState"] == "provisioned"


def test_a_host_that_was_not_installed_says_who_must_act(tmp_path: Path) -> None:
    if Path("/var/lib/trident/datastore.sqlite").exists():
        pytest.skip("this machine was installed by the agent")
    result = trident("get", "--outfile", tmp_path / "s.yaml")
    assert result.returncode == 2
    assert "invalid-input/host-not-provisioned" in result.stderr
    assert not (tmp_path / "s.yaml").exists()


def test_diagnose_writes_its_file_and_says_what_is_missing(tmp_path: Path) -> None:
    """On this machine, which no agent installed."""
    bundle = tmp_path / "out.tar.zst"
    result = trident("diagnose", "-o", bundle)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{bundle}: ")
    assert "not collected: " in result.stdout
    assert bundle.stat().st_mode & 0o777 == 0o600
    refused = trident("diagnose", "--output", tmp_path / "no/such/out.tar.zst")
    assert refused.returncode == 2
    assert "internal/generate-diagnostics-bundle" in refused.stderr
    assert trident("diagnose").returncode == 1
