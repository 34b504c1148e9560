"""What an operator wants a medium to bring: checked, embedded, shown, taken back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import run
from agent.medium.provisions import Provisions, found
from iso_builder.cli import main
from iso_builder.medium import customize, provisions
from lab.certificates import authority
from tests.kit.medium import medium

NETPLAN = "network:\n  version: 2\n  ethernets:\n    wired: {match: {name: e*}, dhcp4: true}\n"


@pytest.fixture(name="iso")
def sample_medium(tmp_path: Path) -> Path:
    return medium(tmp_path, os_cosi="0" * 96)


@pytest.fixture(name="words")
def everything(tmp_path: Path) -> list[str]:
    """Options that name one of each kind."""
    script, network, tool = tmp_path / "check.sh", tmp_path / "net.yaml", tmp_path / "tool"
    script.write_text("#!/bin/sh\nexit 0\n")
    network.write_text(NETPLAN)
    tool.write_bytes(b"\x7fELF")
    ca = authority(tmp_path, "127.0.0.1").certificate
    words = ["--pre-install", script, "--network", network, "--ca", ca]
    return [*map(str, words), "--file", f"{tool}:/usr/local/bin/tool:0755", "--file", f"{tool}:/t"]


def parsed(words: list[str]) -> Provisions:
    parser = argparse.ArgumentParser()
    provisions.add_options(parser)
    return provisions.read(parser.parse_args(words))


def test_all_of_it_is_embedded_shown_and_taken_back(
    iso: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.iso"
    assert main(["customize", str(iso), "-o", str(target), *words]) == 0
    state = customize.read(target)
    assert found(state.files) == parsed(words)
    assert "trident.netplan" in state.menu.arguments
    assert not state.menu.unattended
    capsys.readouterr()
    assert main(["customize", str(target), "--show"]) == 0
    shown = capsys.readouterr().out
    for line in ("script", "network", "authority", "/usr/local/bin/tool (mode 0755", "/t (mode"):
        assert line in shown
    assert main(["customize", str(target), "--reset", "-o", str(target)]) == 0
    assert target.read_bytes() == iso.read_bytes()


def test_what_was_embedded_before_stays_unless_it_is_replaced(
    iso: Path, tmp_path: Path, words: list[str]
) -> None:
    assert main(["customize", str(iso), "-o", str(iso), *words]) == 0
    other = tmp_path / "other.sh"
    other.write_text("#!/bin/bash\n")
    assert main(["customize", str(iso), "-o", str(iso), "--pre-install", str(other)]) == 0
    now = found(customize.read(iso).files)
    assert now.script == b"#!/bin/bash\n"
    assert now.network == NETPLAN.encode()


def test_a_stream_has_the_bytes_of_the_file(iso: Path, tmp_path: Path, words: list[str]) -> None:
    target = tmp_path / "out.iso"
    assert main(["customize", str(iso), "-o", str(target), *words]) == 0
    iso.chmod(0o444)
    program = "import sys; from iso_builder.cli import main; sys.exit(main())"
    result = run([sys.executable, "-c", program, "customize", str(iso), "-o", "-", *words])
    assert result.stdout_bytes == target.read_bytes()
    assert "written in" in result.stderr
    assert not iso.with_name("-").exists()


def test_too_much_is_refused_with_both_sizes(iso: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(1 << 20))
    before = iso.read_bytes()
    with pytest.raises(TridentError, match=r"needs 105\d{4} bytes, .* room for 1048576"):
        customize.customize(
            iso, customize.Order(provisions=parsed(["--file", f"{large}:/large"])), iso
        )
    assert iso.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("network: {version: 2, ethernets: [x]}\n", "network.ethernets"),
        ("ethernets: {}\n", "network"),
        ("network: {\n", "is no netplan file"),
        ("\xff", "UTF-8"),
    ],
)
def test_what_is_no_netplan_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(TridentError, match=why) as caught:
        provisions.network(path)
    assert caught.value.code == "network-settings"


@pytest.mark.parametrize("text", ["", "echo\n", "#!sh\n"])
def test_a_script_without_an_interpreter_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script"
    path.write_text(text)
    with pytest.raises(TridentError) as caught:
        provisions.script(path)
    assert caught.value.code == "pre-install-script"


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_holds_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(text)
    with pytest.raises(TridentError) as caught:
        provisions.authority(path)
    assert caught.value.code == "certificate-authority"


@pytest.mark.parametrize(
    "place",
    ["", ":etc/x", ":/", ":/etc/", ":/etc/../x", "://etc", ":/proc/x", ":/x:999", ":/x:7777"],
)
def test_paths_that_are_none_are_refused(tmp_path: Path, place: str) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(TridentError) as caught:
        provisions.live_files([f"{path}{place}"])
    assert caught.value.code == "live-file"


def test_a_path_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(TridentError, match="twice"):
        provisions.live_files([f"{path}:/x", f"{path}:/x:0755"])
