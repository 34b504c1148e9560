"""The initrd's scripts, with the shell and the DHCP client they run under."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from agent.linux.run import run
from iso_builder.medium import filesystem

pytestmark = pytest.mark.tools

IP = "/usr/sbin/ip"  # the shell prefers its own, which has no JSON
SCRIPTS = ("init.sh", "dhcp-event.sh", "live/open-consoles")


def script(name: str) -> Path:
    return Path(str(files("iso_builder").joinpath("files", name)))


@pytest.mark.parametrize("name", SCRIPTS)
def test_busybox_can_read_every_script(name: str) -> None:
    run(["busybox", "sh", "-n", script(name)])


def lease(environment: dict[str, str], kept: Path) -> None:
    """Run the DHCP script in its own network and mount namespaces; /run is copied to `kept`."""
    kept.mkdir()
    commands = (
        f"mount -t tmpfs tmpfs /run && mkdir /run/trident && {IP} link set lo up"
        f" && busybox sh {script('dhcp-event.sh')} bound"
        f" && cp /run/resolv.conf /run/trident/* {kept}"
        f" && {IP} -json addr show lo >{kept}/addresses && {IP} -json route >{kept}/routes"
    )
    wanted = {"interface": "lo"} | environment
    run(["unshare", "--net", "--mount", "busybox", "sh", "-c", commands], env=wanted)


def test_a_lease_is_configured_and_recorded_for_the_live_system(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    lease({"ip": "10.9.8.7", "mask": "24", "router": "10.9.8.1", "dns": "10.9.8.1 9.9.9.9"}, kept)
    assert json.loads((kept / "netboot.json").read_text()) == {
        "interface": "lo",
        "mac": "00:00:00:00:00:00",
        "address": "10.9.8.7",
        "prefixLength": 24,
        "gateway": "10.9.8.1",
        "dns": ["10.9.8.1", "9.9.9.9"],
    }
    assert (kept / "resolv.conf").read_text() == "nameserver 10.9.8.1\nnameserver 9.9.9.9\n"
    assert (kept / "netboot.env").read_text() == "INTERFACE=lo\nADDRESS=10.9.8.7\n"
    addresses = json.loads((kept / "addresses").read_text())[0]["addr_info"]
    assert ("10.9.8.7", 24) in {(one["local"], one["prefixlen"]) for one in addresses}
    assert [route["gateway"] for route in json.loads((kept / "routes").read_text())] == ["10.9.8.1"]


def test_a_lease_without_router_and_names_is_recorded_as_such(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    lease({"ip": "10.9.8.7", "mask": "16"}, kept)
    record = json.loads((kept / "netboot.json").read_text())
    assert record["gateway"] is None
    assert record["dns"] == []
    assert record["prefixLength"] == 16


def call(function: str, *before: str) -> str:
    """What a function of the initrd's script prints; `before` are commands that prepare it."""
    definitions = script("init.sh").read_text().partition("\nprepare\n")[0]
    text = "\n".join([definitions, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *before, function])
    return run(["unshare", "--mount", "busybox", "sh", "-c", text], ok=range(2)).stdout


@pytest.mark.parametrize("label", ["TRIDENT_0123456789AB", "X" * 32])
def test_a_medium_is_known_by_the_label_of_its_file_system(tmp_path: Path, label: str) -> None:
    entries = [filesystem.Entry(name, b"x") for name in ("boot/a.bin", "boot/b.img")]
    boot = filesystem.BootImages("boot/a.bin", "boot/b.img", "boot/c.cat")
    filesystem.write(tmp_path / "m.iso", label, entries, boot, time_s=0)
    assert call(f"volume_label {tmp_path}/m.iso") == label


def test_what_is_shorter_or_not_there_has_no_label(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 100)
    assert call(f"volume_label {tmp_path}/short").strip() == ""
    assert call(f"volume_label {tmp_path}/none").strip() == ""


@pytest.mark.parametrize(
    ("word", "found"), [("trident.dhcp", True), ("trident.server", True), ("trident", False)]
)
def test_words_of_the_command_line_are_found_whole(word: str, found: bool) -> None:
    lines = "trident.dhcp\\ntrident.server=http://10.77.0.1:8080\\ntrident.dhcpx"
    prepared = ("mount -t tmpfs tmpfs /run", f"printf '{lines}' >/run/cmdline")
    assert call(f"has_word {word} && echo yes", *prepared) == ("yes\n" if found else "")
