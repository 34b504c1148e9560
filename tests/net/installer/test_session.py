"""The installer of a served medium and the running boot server: who says what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from agent.api.errors import Kind, TridentError
from installer import fetch, receipt, session
from installer.cmdline import BootParameters
from installer.session import Here, Source
from tests.kit.bootserver import HOST_CONFIGURATION, MAC, BootServer, write_settings
from tests.kit.sysfs import interface

LABEL = "TRIDENT_0123456789AB"


@pytest.fixture(name="server")
def declared_server(tmp_path: Path) -> Iterator[BootServer]:
    made = BootServer(write_settings(tmp_path))
    made.declare()
    with made.serving():
        yield made


def silent(line: str) -> None:
    pass


def nothing_there(parameters: BootParameters, keep: Path, tell: session.Tell) -> None:
    raise TridentError(Kind.INITIALIZATION, "no-host-configuration", "nothing")


def here(tmp_path: Path, collect: session.Collect = nothing_there) -> Here:
    nets, variables = tmp_path / "net", tmp_path / "efivars"
    variables.mkdir(exist_ok=True)
    if not nets.exists():
        interface(nets, MAC)
    return Here(tmp_path / "etc/config.yaml", nets, variables, collect, patience_s=0)


def served(server: BootServer, *, reinstall: bool = False) -> Source:
    return Source(server=server.url, mac=MAC, medium=LABEL, reinstall=reinstall)


def test_the_server_hands_out_what_is_installed(server: BootServer, tmp_path: Path) -> None:
    place = here(tmp_path)
    taken = session.obtain(served(server), silent, place)
    assert place.keep.read_bytes() == taken.text
    assert taken.configuration.trident.phonehome == f"{server.url}/v1/hosts/{MAC}/phonehome"
    assert server.machine()["state"] == "installing"


def test_a_machine_that_the_server_does_not_know_to_be_installed_knows_it_itself(
    server: BootServer, tmp_path: Path
) -> None:
    """The last report may have been lost."""
    place = here(tmp_path)
    taken = session.obtain(served(server), silent, place)
    receipt.leave(LABEL, taken.text, place.variables)
    with pytest.raises(TridentError) as caught:
        session.obtain(served(server), silent, place)
    assert caught.value.code == "installed-already"
    session.obtain(served(server, reinstall=True), silent, place)


def test_a_reinstall_that_was_granted_is_stronger_than_the_receipt(
    server: BootServer, tmp_path: Path
) -> None:
    place = here(tmp_path)
    taken = session.obtain(served(server), silent, place)
    receipt.leave(LABEL, taken.text, place.variables)
    assert server.command("hosts", "reinstall", MAC).returncode == 0
    session.obtain(served(server), silent, place)


def test_an_installed_machine_is_refused_and_not_reported_as_failed(
    server: BootServer, tmp_path: Path
) -> None:
    session.obtain(served(server), silent, here(tmp_path))
    report = {"state": "succeeded", "host_status": "servicingState: provisioned\n"}
    url = f"{server.url}/v1/hosts/{MAC}/phonehome"
    assert requests.post(url, json=report, timeout=10).status_code == 201
    with pytest.raises(TridentError) as caught:
        session.obtain(served(server, reinstall=True), silent, here(tmp_path))
    assert caught.value.code == fetch.NOT_GRANTED
    session.report(served(server), caught.value, silent)
    assert server.machine()["state"] == "provisioned"
    assert server.machine()["lastError"] is None


def test_without_any_answer_the_medium_says_what_to_install(tmp_path: Path) -> None:
    source = Source(server="http://127.0.0.1:1", mac=MAC, medium=LABEL)
    told: list[str] = []
    asked: list[BootParameters] = []

    def collect(parameters: BootParameters, keep: Path, tell: session.Tell) -> None:
        asked.append(parameters)
        keep.parent.mkdir(parents=True)
        keep.write_text(HOST_CONFIGURATION)

    taken = session.obtain(source, told.append, here(tmp_path, collect))
    assert taken.text.decode() == HOST_CONFIGURATION
    assert asked == [BootParameters(medium=LABEL)]
    assert any("looking on the medium" in line for line in told)


def test_without_a_link_the_medium_says_what_to_install(tmp_path: Path) -> None:
    def collect(parameters: BootParameters, keep: Path, tell: session.Tell) -> None:
        keep.parent.mkdir(parents=True)
        keep.write_text(HOST_CONFIGURATION)

    unplugged = replace(here(tmp_path, collect), link_wait_s=0)
    (unplugged.interfaces / "eth0/carrier").write_text("0\n")
    source = Source(server="http://127.0.0.1:1", mac=MAC, medium=LABEL)
    told: list[str] = []
    taken = session.obtain(source, told.append, unplugged)
    assert taken.text.decode() == HOST_CONFIGURATION
    assert any("has no link" in line for line in told)
    assert not any(line.startswith("asking") for line in told)


def test_without_any_answer_and_configuration_the_silence_is_the_failure(tmp_path: Path) -> None:
    source = Source(server="http://127.0.0.1:1", mac=MAC, medium=LABEL)
    with pytest.raises(TridentError) as caught:
        session.obtain(source, silent, here(tmp_path))
    assert caught.value.code == fetch.UNREACHABLE


def test_a_machine_that_was_booted_from_the_network_looks_at_no_medium(tmp_path: Path) -> None:
    def collect(parameters: BootParameters, keep: Path, tell: session.Tell) -> None:
        raise AssertionError("there is no medium")

    source = Source(server="http://127.0.0.1:1", mac=MAC)
    with pytest.raises(TridentError) as caught:
        session.obtain(source, silent, here(tmp_path, collect))
    assert caught.value.code == fetch.UNREACHABLE


def test_a_refusal_of_the_server_is_not_got_around(server: BootServer, tmp_path: Path) -> None:
    def collect(parameters: BootParameters, keep: Path, tell: session.Tell) -> None:
        raise AssertionError("the server has decided")

    assert server.command("hosts", "remove", MAC).returncode == 0
    with pytest.raises(TridentError) as caught:
        session.obtain(served(server), silent, here(tmp_path, collect))
    assert caught.value.code == "query-for-updates"
