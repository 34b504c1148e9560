"""The whole server on a private network: a client asks by DHCP, loads by TFTP and HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
import yaml
from dnslib import DNSRecord

from agent.linux.run import run
from lab import waiting
from tests.kit import netns
from tests.kit.bootserver import MAC, OTHER_MAC, BootServer, random_bytes, write_settings
from tests.kit.netns import Peer, cable

pytestmark = pytest.mark.net

SERVER = "10.77.0.1"
EFI_X86_64, BIOS, EFI_ARM64 = 7, 0, 11
SUBNET = {
    "network": "10.77.0.0/24",
    "range": ["10.77.0.100", "10.77.0.150"],
    "router": SERVER,
    "dns": [SERVER],
}
_SCRIPT = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace "$ip/24" dev "$interface"
env > {output}
"""

Asker = Callable[..., dict[str, str]]


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    with cable(tmp_path / "peer.log", f"{SERVER}/24") as made:
        yield made


@pytest.fixture
def server(tmp_path: Path, peer: Peer) -> BootServer:
    """Made for the private network; its clients are in `peer`'s namespace."""
    rack: dict[str, Any] = {
        "interface": netns.NEAR,
        "address": SERVER,
        "http": {"port": 8080, "threads": 8},
        "tftp": {},
        "dhcp": {"mode": "server", "subnets": [SUBNET]},
        "dns": {"enabled": True, "domain": "rack"},
    }
    made = BootServer(write_settings(tmp_path, **rack))
    (tmp_path / "files" / "os.cosi").write_bytes(random_bytes("os", 100_000))
    return made


@pytest.fixture
def ask(tmp_path: Path, peer: Peer) -> Asker:
    """`ask(mac, architecture, ipxe=...)`: what udhcpc got, as its environment."""

    def client(mac: str, architecture: int, *, ipxe: bool = False) -> dict[str, str]:
        output, script = tmp_path / "lease", tmp_path / "script"
        output.unlink(missing_ok=True)
        script.write_text(_SCRIPT.format(output=output))
        script.chmod(0o755)
        peer.ip("address", "flush", "dev", netns.FAR)
        peer.ip("link", "set", netns.FAR, "address", mac)
        vendor = f"PXEClient:Arch:{architecture:05}:UNDI:003000"
        options = ["-V", vendor, "-x", f"0x5d:{architecture:04x}", "-O", "66", "-O", "67"]
        options += ["-x", "0x4d:69505845"] if ipxe else []
        argv = ["udhcpc", "-i", netns.FAR, "-n", "-q", "-f", "-t", "5", "-T", "1", "-S"]
        run(peer.inside([*argv, "-s", script, *options]), timeout_s=30)
        pairs = (line.partition("=") for line in output.read_text().splitlines())
        return {key: value for key, _, value in pairs}

    return client


def fetch_tftp(peer: Peer, name: str, to: Path) -> bytes:
    run(peer.inside(["curl", "-sSf", "-o", to, f"tftp://{SERVER}/{name}"]), timeout_s=30)
    return to.read_bytes()


def curl(peer: Peer, path: str, *words: str) -> str:
    argv = ["curl", "-sSf", *words, f"http://{SERVER}:8080{path}"]
    return run(peer.inside(argv), timeout_s=30).stdout


def timeline(server: BootServer, mac: str = MAC) -> list[tuple[str, str]]:
    return [(one["source"], one["event"]) for one in server.machine(mac)["timeline"]]


def test_firmware_ipxe_and_agent_are_followed_on_one_timeline(
    server: BootServer, peer: Peer, ask: Asker, tmp_path: Path
) -> None:
    server.declare()
    with server.serving():
        lease = ask(MAC, EFI_X86_64)
        assert lease["boot_file"] == "x86_64/snponly.efi"
        assert lease["siaddr"] == SERVER
        loader = fetch_tftp(peer, lease["boot_file"], tmp_path / "loader")
        assert loader == random_bytes("x86_64/snponly.efi", 40_000)
        chained = ask(MAC, EFI_X86_64, ipxe=True)
        assert chained["ip"] == lease["ip"]
        assert chained["boot_file"] == f"http://{SERVER}:8080/ipxe/{MAC}"
        assert "kernel http" in curl(peer, f"/ipxe/{MAC}")
        curl(peer, "/artifacts/rootfs.squashfs", "-o", os.devnull)
        curl(peer, f"/v1/hosts/{MAC}/config")
        curl(peer, "/files/os.cosi", "-o", os.devnull, "-r", "5000-")
        waiting.until(
            lambda: ("tftp", "done") in timeline(server), limit_s=10, what="the TFTP entry"
        )
        machine = server.machine()
        assert machine["state"] == "installing"
        assert machine["architecture"] == "efi-x86_64"
        assert machine["address"] == lease["ip"]
        expected = [
            ("dhcp", "discover"),
            ("dhcp", "offer"),
            ("dhcp", "request"),
            ("dhcp", "ack"),
            ("tftp", "read"),
            ("tftp", "done"),
            ("dhcp", "discover"),
            ("http", "script"),
            ("http", "rootfs"),
            ("http", "config"),
            ("http", "image"),
        ]
        found = iter(timeline(server))
        assert all(one in found for one in expected), "all of them, in this order"
        assert machine["timeline"][-1]["detail"]["start"] == 5000


def test_each_architecture_is_given_its_own_loader(server: BootServer, ask: Asker) -> None:
    server.declare()
    with server.serving():
        assert ask(MAC, BIOS)["boot_file"] == "bios/undionly.kpxe"
        assert "boot_file" not in ask(MAC, EFI_ARM64), "the set has no loader for it"
    (server.settings.artifacts / "arm64").mkdir()
    (server.settings.artifacts / "arm64" / "snponly.efi").write_bytes(b"loader")
    with server.serving():
        assert ask(MAC, EFI_ARM64)["boot_file"] == "arm64/snponly.efi"


def test_an_unknown_machine_gets_an_address_and_nothing_to_boot(
    server: BootServer, peer: Peer, ask: Asker
) -> None:
    with server.serving():
        lease = ask(OTHER_MAC, EFI_X86_64)
        assert lease["ip"].startswith("10.77.0.1")
        assert "boot_file" not in lease
        assert "boot_file" not in ask(OTHER_MAC, EFI_X86_64, ipxe=True)
        waiting.until(
            lambda: ("dhcp", "ignored") in timeline(server, OTHER_MAC),
            limit_s=10,
            what="the entry",
        )
        machine = server.machine(OTHER_MAC)
        assert (machine["declared"], machine["state"]) == (False, "new")


def test_shim_loads_grub_and_grub_its_machines_config(
    server: BootServer, peer: Peer, ask: Asker, tmp_path: Path
) -> None:
    values = yaml.safe_load(server.settings_path.read_text())
    server.settings_path.write_text(yaml.safe_dump(values | {"defaults": {"loader": "shim"}}))
    server.declare()
    with server.serving():
        assert ask(MAC, EFI_X86_64)["boot_file"] == "x86_64/shimx64.efi"
        grub = fetch_tftp(peer, "x86_64/grubx64.efi", tmp_path / "grub")
        assert grub == random_bytes("x86_64/grubx64.efi", 43_000)
        static = fetch_tftp(peer, "/grub/grub.cfg", tmp_path / "cfg").decode()
        assert f"(tftp,{SERVER})/grub/host/${{net_default_mac}}.cfg" in static
        config = fetch_tftp(peer, f"grub/host/{MAC}.cfg", tmp_path / "own").decode()
        assert f"until linux (tftp,{SERVER})/vmlinuz trident.rootfs=" in config
        assert fetch_tftp(peer, "vmlinuz", tmp_path / "k") == random_bytes("vmlinuz", 70_000)


def test_a_reserved_address_is_given_and_named(
    server: BootServer, peer: Peer, ask: Asker, tmp_path: Path
) -> None:
    server.declare()
    text = str(tmp_path / "host-configuration.yaml")
    words = ("--name", "node7", "--address", "10.77.0.77", "--host-config", text)
    assert server.command("hosts", "add", MAC, *words).returncode == 0
    with server.serving():
        assert ask(MAC, EFI_X86_64)["ip"] == "10.77.0.77"
        with peer.entered():
            answer = DNSRecord.parse(DNSRecord.question("node7.rack").send(SERVER, timeout=5))
        assert str(answer.get_a().rdata) == "10.77.0.77"


def test_a_lease_survives_a_kill(server: BootServer, ask: Asker) -> None:
    server.declare()
    with server.serving() as process:
        before = ask(MAC, EFI_X86_64)["ip"]
        process.signal(SIGKILL)
        process.wait(10)
    with server.serving():
        ask(OTHER_MAC, EFI_X86_64)
        assert ask(MAC, EFI_X86_64)["ip"] == before
