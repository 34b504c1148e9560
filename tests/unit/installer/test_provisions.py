"""What a medium brings, put in place by the installer; TLS with an authority of the medium."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import requests

from agent.api.errors import Kind, TridentError
from agent.medium import layout, overlay
from agent.medium.provisions import LiveFile, Provisions
from installer import fetch, medium, provisions
from installer.provisions import Live
from lab.certificates import authority
from tests.kit.scripted_server import scripted

MAC = "52:54:00:00:00:01"


class Network:
    """What would bring the network up; counts how often it was asked to."""

    def __init__(self, error: TridentError | None = None) -> None:
        self.times = 0
        self._error = error

    def bring_up(self) -> None:
        self.times += 1
        if self._error is not None:
            raise self._error


@pytest.fixture(name="root")
def live_root(tmp_path: Path) -> Path:
    (tmp_path / "live").mkdir()
    return tmp_path / "live"


def mounted(folder: Path, *, built: Provisions, later: Provisions) -> Path:
    """A mounted medium that was built with some and was given others later."""
    for name, data in {**built.on_medium(), layout.CONFIGURATION: b"os: {}\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    area = overlay.encode({**later.on_medium(), "menu.json": b"{}"}, layout.OVERLAY_BYTES)
    (folder / layout.OVERLAY).write_bytes(area)
    return folder


def put(brought: Provisions, root: Path, network: Network | None = None) -> list[str]:
    told: list[str] = []
    live = Live(root, (network or Network()).bring_up)
    provisions.put([dict(brought.on_medium())], told.append, live)
    return told


def test_everything_is_put_in_place_and_told(root: Path) -> None:
    network = Network()
    files = {"/usr/local/bin/tool": LiveFile(b"#!/bin/sh\n", 0o755)}
    told = put(Provisions(b"#!/bin/sh\n", b"network: {version: 2}\n", None, files), root, network)
    tool = root / "usr/local/bin/tool"
    assert (tool.read_bytes(), tool.stat().st_mode & 0o777) == (b"#!/bin/sh\n", 0o755)
    netplan = root / "etc/netplan/60-trident-medium.yaml"
    assert netplan.read_bytes() == b"network: {version: 2}\n"
    assert netplan.stat().st_mode & 0o777 == 0o600
    assert network.times == 1
    assert [line.split(":")[1].split()[0] for line in told] == ["script", "network", "file"]


def test_what_brings_nothing_changes_nothing(root: Path) -> None:
    network = Network()
    assert put(Provisions(), root, network) == []
    assert list(root.iterdir()) == []
    assert network.times == 0


def test_what_was_embedded_later_comes_before_what_was_built_in(root: Path, tmp_path: Path) -> None:
    built = Provisions(b"#!/built\n", None, None, {"/a": LiveFile(b"1"), "/b": LiveFile(b"1")})
    later = Provisions(None, None, None, {"/b": LiveFile(b"2", 0o600)})
    place = mounted(tmp_path / "medium", built=built, later=later)
    medium.bring(lambda _: None, place, Live(root, Network().bring_up))
    assert (root / "a").read_bytes() == b"1"
    assert (root / "b").read_bytes() == b"2"
    assert (root / provisions.SCRIPT).read_bytes() == b"#!/built\n"


def test_provisions_are_not_taken_for_configurations(tmp_path: Path) -> None:
    later = Provisions(b"#!/bin/sh\n", None, None, {"/a": LiveFile(b"1")})
    place = mounted(tmp_path / "medium", built=Provisions(), later=later)
    shelf, _ = medium.on_medium(place)
    assert shelf.files == {}


def test_a_file_that_cannot_be_written_is_named(root: Path) -> None:
    (root / "etc").write_text("in the way")
    with pytest.raises(TridentError, match="etc") as caught:
        put(Provisions(files={"/etc/x": LiveFile(b"")}), root)
    assert caught.value.code == "provisions-not-placed"


def test_a_network_that_does_not_come_up_is_a_failure(root: Path) -> None:
    broken = Network(TridentError(Kind.SERVICING, "command-failed", "netplan: no"))
    with pytest.raises(TridentError, match="network that the medium asks for"):
        put(Provisions(network=b"network: {version: 2}\n"), root, broken)


def test_the_script_runs_and_what_it_says_is_told(root: Path, tmp_path: Path) -> None:
    text = f"#!/bin/sh\necho found 2 disks\ntouch {tmp_path}/ran\n"
    put(Provisions(text.encode()), root)
    told: list[str] = []
    provisions.run_script(told.append, root)
    assert (tmp_path / "ran").exists()
    assert "pre-install: found 2 disks" in told


def test_a_script_that_fails_stops_and_says_why(root: Path) -> None:
    put(Provisions(b"#!/bin/sh\necho the BIOS is too old\nexit 3\n"), root)
    with pytest.raises(TridentError, match=r"ended with 3.*BIOS is too old") as caught:
        provisions.run_script(lambda _: None, root)
    assert caught.value.identifier == "initialization/run-pre-install-script"


def test_without_a_script_nothing_runs(root: Path) -> None:
    told: list[str] = []
    provisions.run_script(told.append, root)
    assert told == []


def test_a_boot_server_behind_https_is_trusted_by_the_mediums_authority(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    own = authority(tmp_path, "127.0.0.1")
    with scripted(own.serving()) as server:
        server.answers = [(200, b"image: {}\n")]
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url, timeout=5)
        put(Provisions(authority=own.certificate.read_bytes()), root)
        provisions.trust_authorities(root)
        answer = fetch.configuration(
            server.url, MAC, retry_for_s=0, pause=lambda _: None, tell=lambda _: None
        )
    assert answer.text == "image: {}\n"


def test_the_systems_authorities_stay_trusted(root: Path, tmp_path: Path) -> None:
    system = root / "etc/ssl/certs/ca-certificates.crt"
    system.parent.mkdir(parents=True)
    system.write_bytes(authority(tmp_path, "127.0.0.1").certificate.read_bytes())
    put(Provisions(authority=b"more\n"), root)
    bundle = (root / provisions.BUNDLE).read_bytes()
    assert bundle.startswith(system.read_bytes())
    assert bundle.endswith(b"more\n")
