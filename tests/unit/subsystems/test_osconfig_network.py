from __future__ import annotations

import json
from pathlib import Path

import yaml

from agent.api.hostconfig import HostConfiguration
from agent.api.osconfig import SshMode, User
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.subsystems import network, osconfig


def test_sshd_holds_each_user_to_its_mode() -> None:
    users = [
        User(name="root", ssh_mode=SshMode.KEY_ONLY),
        User(name="blocked"),
        User(name="alice", ssh_mode=SshMode.KEY_ONLY),
        User(name="bob", ssh_mode=SshMode.DANGEROUS_ALLOW_PASSWORD),
        User(name="also-blocked"),
    ]
    assert osconfig.sshd_users(users).splitlines()[1:] == [
        "PermitRootLogin prohibit-password",
        "DenyUsers blocked also-blocked",
        "Match User alice",
        "    PasswordAuthentication no",
        "    KbdInteractiveAuthentication no",
        "Match User bob",
        "    PasswordAuthentication yes",
        "    KbdInteractiveAuthentication yes",
        "Match all",
    ]


def test_root_is_not_mentioned_unless_it_is_configured() -> None:
    assert "PermitRootLogin" not in osconfig.sshd_users([User(name="a")])
    assert "PermitRootLogin no" in osconfig.sshd_users([User(name="root")])


def test_the_drop_in_directory_is_read_first_and_only_once() -> None:
    once = osconfig.with_include("# comment\n\nPort 22\n")
    assert once.startswith("Include /etc/ssh/sshd_config.d/*.conf\n")
    assert osconfig.with_include(once) == once
    debian = "# comment\n\nInclude /etc/ssh/sshd_config.d/*.conf\nPort 22\n"
    assert osconfig.with_include(debian) == debian


def test_the_netplan_file_is_the_configured_body_below_network() -> None:
    body = {
        "version": 2,
        "ethernets": {"all": {"match": {"name": "en*"}, "dhcp4": True}},
        "dummy-devices": {"d0": {"addresses": ["10.0.0.1/24"]}},
    }
    configuration = HostConfiguration.model_validate_json(json.dumps({"os": {"netplan": body}}))
    assert configuration.os.netplan is not None
    assert yaml.safe_load(network.render(configuration.os.netplan)) == {"network": body}


def test_an_updated_system_is_the_host_it_was() -> None:
    def carried(document: dict[str, object], servicing: ServicingType) -> tuple[Path, ...]:
        configuration = HostConfiguration.model_validate_json(json.dumps(document))
        return osconfig.carried_over(Context(configuration, servicing))

    both = (osconfig.MACHINE_ID, osconfig.HOSTNAME)
    update = ServicingType.AB_UPDATE
    assert carried({}, update) == both
    assert carried({"os": {"hostname": "new"}}, update) == both[:1]
    assert carried({"internalParams": {"disableHostnameCarryOver": True}}, update) == both[:1]
    assert carried({}, ServicingType.CLEAN_INSTALL) == ()
