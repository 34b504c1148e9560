"""The initrd's scripts, with the shell and the DHCP client they run under."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


def read_medium(folder: Path, rootfs: bytes, pinned: bytes) -> tuple[str, bool]:
    """What reading a mounted medium says, and whether an image is left in memory."""
    (folder / "trident").mkdir()
    (folder / "trident/rootfs.squashfs").write_bytes(rootfs)
    (folder / "pin").write_text(hashlib.sha384(pinned).hexdigest() + "\n")
    said = call(
        'from_medium LABEL || echo "$reason"',
        f"medium={folder} image={folder}/in-memory pin={folder}/pin",
        "find_medium() { :; }",
        "umount() { :; }",
        'say() { echo "$@"; }',
    )
    return said, (folder / "in-memory").exists()


def test_what_the_initrd_was_built_with_is_read_from_the_medium(tmp_path: Path) -> None:
    said, kept = read_medium(tmp_path, b"root" * 9999, b"root" * 9999)
    assert said == "read 39996 bytes from the medium\n"
    assert kept


def test_a_medium_with_a_flipped_bit_is_refused_and_nothing_of_it_kept(tmp_path: Path) -> None:
    said, kept = read_medium(tmp_path, b"roou" + b"root" * 9998, b"root" * 9999)
    assert "SHA-384 is not the one in the initrd" in said
    assert not kept


@pytest.fixture(name="server")
def web_server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www/rootfs.squashfs").write_bytes(b"root" * 9999)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetch(folder: Path, url: str, content: bytes, *before: str) -> tuple[list[str], bool]:
    """What a network boot says about a root file system, and whether it is left in memory."""
    said = call(
        f'connect_patiently fetch_rootfs {url} {hashlib.sha384(content).hexdigest()}; echo "$?"',
        f"image={folder}/in-memory attempts=2",
        "interfaces() { echo eth0 eth1; }",
        "has_carrier() { [ $1 = eth1 ]; }",
        "get_address() { :; }",
        "load_drivers() { :; }",
        "ip() { :; }",
        "sleep() { :; }",
        'say() { echo "$@"; }',
        "mount -t tmpfs tmpfs /run",
        *before,
    )
    return said.splitlines(), (folder / "in-memory").exists()


def test_the_root_file_system_comes_through_the_first_interface_with_a_link(
    tmp_path: Path, server: str
) -> None:
    said, kept = fetch(tmp_path, f"{server}/rootfs.squashfs", b"root" * 9999)
    assert said == ["eth0 has no link", "fetched 39996 bytes through eth1", "0"]
    assert kept


def test_another_root_file_system_than_the_one_named_is_refused_each_time(
    tmp_path: Path, server: str
) -> None:
    said, kept = fetch(tmp_path, f"{server}/rootfs.squashfs", b"another")
    refusals = [line for line in said if "is not the one named by trident.rootfs.sha384" in line]
    assert [line[:15] for line in refusals] == ["attempt 1 of 2:", "attempt 2 of 2:"]
    assert said[-1] == "1"
    assert not kept


def test_an_initrd_that_was_signed_fetches_only_the_root_file_system_it_was_built_with(
    tmp_path: Path, server: str
) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "pin").write_text(hashlib.sha384(b"its own").hexdigest() + "\n")
    trust = f"trusted={tmp_path}/key pin={tmp_path}/pin"
    said, kept = fetch(tmp_path, f"{server}/rootfs.squashfs", b"root" * 9999, trust)
    assert "another root file system than the one this initrd trusts" in "\n".join(said)
    assert said[-1] == "1"
    assert not kept
    (tmp_path / "pin").write_text(hashlib.sha384(b"root" * 9999).hexdigest() + "\n")
    said, kept = fetch(tmp_path, f"{server}/rootfs.squashfs", b"root" * 9999, trust)
    assert said[-1] == "0"
    assert kept


def test_a_file_that_the_server_lacks_is_named_with_what_the_server_said(
    tmp_path: Path, server: str
) -> None:
    said, _ = fetch(tmp_path, f"{server}/none", b"")
    assert f"{server}/none could not be fetched: wget: server returned error: HTTP/1.0 404" in (
        "\n".join(said)
    )
    assert said[-1] == "1"
