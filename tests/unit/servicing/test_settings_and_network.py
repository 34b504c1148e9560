from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import settings
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.servicing import checks, network
from agent.settings import Settings


def test_the_last_line_counts_and_white_space_does_not() -> None:
    text = "# comment\n\n  DatastorePath = /a \nDatastorePath=/b/c.sqlite\n"
    assert settings.parse(text) == Settings(Path("/b/c.sqlite"))
    assert settings.parse(settings.render(Settings(Path("/x")))) == Settings(Path("/x"))
    assert settings.parse("") == Settings(Path("/var/lib/trident/datastore.sqlite"))


@pytest.mark.parametrize(
    "text", ["DatastorePath", "DatastorePath=relative", "datastorepath=/x", "Other=/x", "=/x"]
)
def test_anything_else_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(TridentError, match="line 2") as caught:
        settings.parse("\n" + text)
    assert caught.value.code == "image-bad-agent-configuration"


def test_a_missing_file_means_the_defaults_and_an_unreadable_one_an_error(tmp_path: Path) -> None:
    assert settings.load(tmp_path / "trident.conf") == Settings()
    with pytest.raises(TridentError, match="could not be read"):
        settings.load(tmp_path)


def test_the_management_os_network_wins_over_the_targets() -> None:
    def body(name: str) -> dict[str, object]:
        return {"version": 2, "ethernets": {name: {"dhcp4": True}}}

    def configured(**document: object) -> HostConfiguration:
        return HostConfiguration.model_validate_json(json.dumps(document))

    both = configured(managementOs={"netplan": body("live")}, os={"netplan": body("target")})
    target = configured(os={"netplan": body("target")})
    assert network.choose(both) == both.management_os.netplan
    assert network.choose(target) == target.os.netplan
    assert network.choose(HostConfiguration()) is None
    assert network.start(HostConfiguration()) is False


@pytest.mark.skipif(Path("/run/systemd/netif/state").exists(), reason="systemd-networkd runs here")
def test_waiting_for_a_systemd_networkd_that_does_not_run_is_an_error() -> None:
    checks.await_network(HostConfiguration())
    document = {"internalParams": {"waitForSystemdNetworkd": True}}
    waiting = HostConfiguration.model_validate_json(json.dumps(document))
    with pytest.raises(TridentError, match="systemd-networkd is not online") as caught:
        checks.await_network(waiting)
    assert caught.value.identifier == "internal/wait-for-systemd-networkd"
