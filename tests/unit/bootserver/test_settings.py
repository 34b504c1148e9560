"""Settings: what is accepted, and that every mistake is named with its line."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from bootserver.settings import DhcpMode, Loader, Match, load, normalize_mac

MINIMAL = """\
address: 10.77.0.1
artifacts: set
files: /srv/files
state: state
dhcp: {mode: "off"}
"""


def read(folder: Path, text: str) -> str:
    """Why a settings file is refused."""
    path = folder / "settings.yaml"
    path.write_text(text)
    with pytest.raises(TridentError) as caught:
        load(path)
    assert caught.value.code == "invalid-boot-server-settings"
    return caught.value.message


def test_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(MINIMAL + "hosts: [a.yaml]\ndefaults: {config: hc.yaml}\n")
    settings = load(path)
    assert settings.artifacts == tmp_path / "set"
    assert settings.files == Path("/srv/files")
    assert settings.hosts == (tmp_path / "a.yaml",)
    assert settings.defaults.config == tmp_path / "hc.yaml"


def test_defaults_serve_http_on_8080_with_serial_and_screen_consoles(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(MINIMAL)
    settings = load(path)
    assert settings.base_url == "http://10.77.0.1:8080"
    assert settings.listen_addresses == (IPv4Address("10.77.0.1"),)
    assert settings.defaults.loader is Loader.IPXE
    assert "console=ttyS0,115200n8" in settings.defaults.kernel_arguments


def test_a_dhcp_server_with_subnets_and_groups(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(
        """\
interface: eth0
address: 10.77.0.1
artifacts: set
files: files
state: state
dhcp:
  mode: server
  subnets:
  - network: 10.77.0.0/24
    range: [10.77.0.100, 10.77.0.150]
    router: 10.77.0.1
    dns: [10.77.0.1]
    domain: rack
    leaseSeconds: 600
groups:
- match: {mac: "52:54:00"}
  loader: shim
"""
    )
    settings = load(path)
    assert settings.dhcp.mode is DhcpMode.SERVER
    assert settings.dhcp.subnets[0].lease_seconds == 600
    assert settings.groups[0].loader is Loader.SHIM


def test_all_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    message = read(tmp_path, MINIMAL + "htp: {}\nhttp: {port: 70000}\n")
    assert "line 6, column 1: htp: unknown field" in message
    assert "line 7" in message
    assert "http.port" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("dhcp: {mode: server}", "at least one subnet"),
        ("dhcp: {mode: proxy}", "interface must be set"),
        (
            "interface: e\ndhcp: {mode: server, subnets: "
            "[{network: 10.0.0.0/24, range: [10.0.0.9, 10.0.1.9]}]}",
            "inside 10.0.0.0/24",
        ),
        (
            "interface: e\ndhcp: {mode: server, subnets: "
            "[{network: 10.0.0.0/24, range: [10.0.0.9, 10.0.0.8]}]}",
            "first address",
        ),
        ('dhcp: {mode: "off"}\ngroups: [{match: {}}]', "matches by mac, serial or architecture"),
        ('dhcp: {mode: "off"}\ndefaults: {kernelArguments: ["a b"]}', "one word"),
        ('dhcp: {mode: "off"}\ndefaults: {config: a, hostConfiguration: {}}', "not both"),
    ],
)
def test_a_contradiction_is_refused(tmp_path: Path, change: str, reason: str) -> None:
    assert reason in read(tmp_path, MINIMAL.replace('dhcp: {mode: "off"}', change))


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    assert "line 2" in read(tmp_path, "address: 10.0.0.1\naddress: 10.0.0.2\n")


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match=r"none\.yaml") as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.code == "read-input-file"


def test_mac_addresses_are_lower_case_with_colons() -> None:
    assert normalize_mac(" 52-54-00-AB-CD-EF ") == "52:54:00:ab:cd:ef"
    for wrong in ("", "52:54:00:ab:cd", "52:54:00:ab:cd:eg", "5254.00ab.cdef", "x" * 17):
        with pytest.raises(ValueError, match="MAC address"):
            normalize_mac(wrong)


MAC = "52:54:00:77:00:01"


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (Match(mac="52:54:00"), True),
        (Match(mac=MAC), True),
        (Match(mac="52:54:01"), False),
        (Match(serial="LAB-*"), True),
        (Match(serial="lab-*"), False),
        (Match(architecture="x86_64"), True),
        (Match(architecture="arm64"), False),
        (Match(mac="52:54:00", serial="OTHER"), False),
    ],
)
def test_a_group_holds_what_matches_all_its_keys(match: Match, holds: bool) -> None:
    assert match.holds(MAC, "LAB-7", "x86_64") is holds


def test_a_mac_prefix_ends_at_a_byte() -> None:
    assert not Match(mac="52:54:00:77:00:01").holds("52:54:00:77:00:012", None, None)


def test_what_is_unknown_of_a_machine_does_not_match() -> None:
    assert not Match(serial="*").holds(MAC, None, None)
    assert not Match(architecture="x86_64").holds(MAC, None, None)
