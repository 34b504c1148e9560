"""Declarations: from files and by command, with groups and defaults, reread when they change."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.api.errors import TridentError
from bootserver.database import Database
from bootserver.hosts import Declaration, Hosts, declaration_of
from bootserver.reports.state import Record
from bootserver.settings import Loader, load
from bootserver.store import Store
from tests.kit.bootserver import HOST_CONFIGURATION, MAC, OTHER_MAC, write_settings

Build = Callable[..., Hosts]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database(tmp_path / "state")
    yield Store(database)
    database.close()


@pytest.fixture
def build(tmp_path: Path, store: Store) -> Build:
    (tmp_path / "hc.yaml").write_text(HOST_CONFIGURATION)

    def make(hosts: list[dict[str, Any]], **more: Any) -> Hosts:
        write_hosts(tmp_path, hosts)
        settings = load(write_settings(tmp_path, hosts=["hosts.yaml"], **more))
        return Hosts(settings, store)

    return make


def write_hosts(folder: Path, hosts: list[dict[str, Any]]) -> None:
    path = folder / "new-hosts.yaml"
    path.write_text(yaml.safe_dump({"hosts": hosts}))
    path.replace(folder / "hosts.yaml")


def test_a_host_is_completed_by_groups_and_defaults(build: Build) -> None:
    hosts = build(
        [{"mac": MAC.upper(), "name": "node1", "config": "hc.yaml", "kernelArguments": ["c"]}],
        defaults={"kernelArguments": ["a"]},
        groups=[
            {"match": {"mac": "52:54"}, "kernelArguments": ["b"], "loader": "shim"},
            {"match": {"mac": "00"}, "kernelArguments": ["never"]},
        ],
    )
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.kernel_arguments == ("a", "b", "c")
    assert host.loader is Loader.SHIM
    assert host.problem is None
    assert hosts.find(OTHER_MAC, None) is None


def test_a_group_may_match_what_the_machine_said_of_itself(build: Build) -> None:
    hosts = build(
        [{"mac": MAC, "config": "hc.yaml"}],
        groups=[{"match": {"serial": "LAB-*"}, "loader": "shim"}],
    )
    assert hosts.needs_serial(MAC, None)
    known = Record(MAC, serial="LAB-1")
    assert not hosts.needs_serial(MAC, known)
    host = hosts.find(MAC, known)
    assert host is not None
    assert host.loader is Loader.SHIM


def test_a_group_by_architecture_takes_the_firmwares_word(build: Build) -> None:
    hosts = build(
        [{"mac": MAC, "config": "hc.yaml"}],
        groups=[{"match": {"architecture": "x86_64"}, "loader": "shim"}],
    )
    host = hosts.find(MAC, Record(MAC, architecture="http-x86_64"))
    assert host is not None
    assert host.loader is Loader.SHIM


def test_a_host_without_a_configuration_has_a_problem(build: Build) -> None:
    host = build([{"mac": MAC}]).find(MAC, None)
    assert host is not None
    assert "no Host Configuration is declared" in str(host.problem)


def test_a_group_may_give_the_configuration(build: Build, tmp_path: Path) -> None:
    hosts = build(
        [{"mac": MAC}],
        groups=[{"match": {"mac": MAC}, "config": str(tmp_path / "hc.yaml")}],
    )
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.problem is None


def test_all_mistakes_of_a_configuration_refuse_it(build: Build, tmp_path: Path) -> None:
    wrong = HOST_CONFIGURATION.replace("sha384: ignored", "sha384: short")
    (tmp_path / "bad.yaml").write_text(wrong + "unknown: 1\n")
    host = build([{"mac": MAC, "config": "bad.yaml"}]).find(MAC, None)
    assert host is not None
    assert len(host.verdict.errors) == 2
    assert "image.sha384" in str(host.problem)
    assert "unknown" in str(host.problem)


def test_a_configuration_that_breaks_a_rule_is_refused(build: Build, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(HOST_CONFIGURATION.replace("deviceId: root", "deviceId: x"))
    host = build([{"mac": MAC, "config": "bad.yaml"}]).find(MAC, None)
    assert host is not None
    assert "line " in str(host.problem)


def test_a_changed_file_is_read_again(build: Build, tmp_path: Path) -> None:
    hosts = build([{"mac": MAC, "config": "hc.yaml"}])
    assert hosts.find(OTHER_MAC, None) is None
    write_hosts(tmp_path, [{"mac": OTHER_MAC, "config": "hc.yaml"}])
    assert hosts.find(OTHER_MAC, None) is not None
    assert hosts.find(MAC, None) is None


def test_a_file_that_became_wrong_leaves_the_last_good_declarations(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hosts = build([{"mac": MAC, "config": "hc.yaml"}])
    assert hosts.find(MAC, None) is not None
    (tmp_path / "hosts.yaml").write_text("hosts: [")
    assert hosts.find(MAC, None) is not None
    assert hosts.find(MAC, None) is not None
    assert len([r for r in caplog.records if "not reloaded" in r.message]) == 1
    (tmp_path / "hosts.yaml").unlink()
    assert hosts.find(MAC, None) is not None


def test_loading_refuses_a_machine_that_is_declared_twice(build: Build) -> None:
    hosts = build([{"mac": MAC}, {"mac": MAC}])
    with pytest.raises(TridentError, match="and again") as caught:
        hosts.load()
    assert caught.value.code == "invalid-host-declaration"


def test_loading_refuses_unknown_keys_with_their_line(build: Build) -> None:
    hosts = build([{"mac": MAC, "nmae": "x"}])
    with pytest.raises(TridentError, match=r"line \d+.*nmae: unknown field"):
        hosts.load()


def test_a_folder_of_files_is_read(tmp_path: Path, store: Store) -> None:
    (tmp_path / "hosts").mkdir()
    for name, mac in (("a.yaml", MAC), ("b.yml", OTHER_MAC), ("notes.txt", "x")):
        (tmp_path / "hosts" / name).write_text(f"hosts: [{{mac: '{mac}'}}]")
    hosts = Hosts(load(write_settings(tmp_path, hosts=["hosts"])), store)
    assert [host.mac for host in hosts.all()] == [MAC, OTHER_MAC]


def test_a_declaration_by_command_wins_over_the_file(build: Build, store: Store) -> None:
    hosts = build([{"mac": MAC, "name": "file", "config": "hc.yaml"}])
    store.declare(MAC, declaration_of(Declaration(mac=MAC, name="command")))
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.name == "command"
    store.remove(MAC)
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.name == "file"


def test_a_wrong_digest_of_a_local_image_refuses_until_the_image_is_right(
    build: Build, tmp_path: Path
) -> None:
    wanted = hashlib.sha384(cosi_metadata()).hexdigest()
    (tmp_path / "hc.yaml").write_text(HOST_CONFIGURATION.replace("ignored", wanted))
    hosts = build([{"mac": MAC, "config": "hc.yaml"}])
    image = tmp_path / "files" / "os.cosi"
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.problem is None, "an image that is not there yet is only a warning"
    assert host.verdict.warnings
    write_cosi(image, cosi_metadata("other"))
    host = hosts.find(MAC, None)
    assert host is not None
    assert f"not {wanted}" in str(host.problem)
    write_cosi(image, cosi_metadata())
    host = hosts.find(MAC, None)
    assert host is not None
    assert host.problem is None
    assert not host.verdict.warnings


ESP = b"esp!"


def cosi_metadata(release: str = "debian") -> bytes:
    """metadata.json of an image that has only an ESP, in revision 1.0."""
    esp = {
        "image": {
            "path": "images/esp.zst",
            "compressedSize": len(ESP),
            "uncompressedSize": len(ESP),
            "sha384": hashlib.sha384(ESP).hexdigest(),
        },
        "mountPoint": "/boot/efi",
        "fsType": "vfat",
        "fsUuid": "ABCD-1234",
        "partType": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    }
    return json.dumps(
        {"version": "1.0", "osArch": "x86_64", "osRelease": f"ID={release}", "images": [esp]}
    ).encode()


def write_cosi(path: Path, metadata: bytes) -> None:
    new = path.with_suffix(".new")
    with tarfile.open(new, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("metadata.json", metadata), ("images/esp.zst", ESP)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    os.replace(new, path)
