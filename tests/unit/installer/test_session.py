from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from installer import session
from installer.cmdline import BootParameters
from tests.kit.sysfs import interface

MAC = "52:54:00:00:00:01"


def test_a_boot_server_on_the_command_line_comes_first(tmp_path: Path) -> None:
    local = tmp_path / "config.yaml"
    local.write_text("{}")
    source = session.choose(BootParameters("http://10.77.0.1:8080", MAC), local=local)
    assert source == session.Source(server="http://10.77.0.1:8080", mac=MAC)


def test_without_a_boot_server_the_medium_says_what_to_install(tmp_path: Path) -> None:
    local = tmp_path / "config.yaml"
    local.write_text("{}")
    assert session.choose(BootParameters(), local=local) == session.Source(file=local)


def test_what_was_found_on_a_medium_is_known_to_be_from_it(tmp_path: Path) -> None:
    local = tmp_path / "config.yaml"
    local.write_text("{}")
    source = session.choose(BootParameters(medium="TRIDENT_1"), local=local)
    assert source == session.Source(file=local, medium="TRIDENT_1")


def test_with_neither_nothing_is_installed(tmp_path: Path) -> None:
    with pytest.raises(TridentError) as caught:
        session.choose(BootParameters(), local=tmp_path / "none")
    assert caught.value.identifier == "initialization/read-cmdline"


def test_a_file_is_read_as_a_host_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("os: {hostname: node1}\n")
    taken = session.obtain(session.Source(file=path), tell=lambda _: None)
    assert taken.configuration.os.hostname == "node1"
    assert taken.text == path.read_bytes()


def test_a_broken_file_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("os:\n  hostnam: node1\n")
    with pytest.raises(TridentError, match="line 2"):
        session.obtain(session.Source(file=path), tell=lambda _: None)


def test_a_medium_made_for_another_machine_is_told_from_its_own(tmp_path: Path) -> None:
    nets = interface(tmp_path, MAC)
    own = BootParameters("http://10.77.0.1:8080", MAC, "TRIDENT_1", reinstall=True)
    source = session.choose(own, interfaces=nets)
    assert source == session.Source(
        server="http://10.77.0.1:8080", mac=MAC, medium="TRIDENT_1", reinstall=True
    )
    other = BootParameters("http://10.77.0.1:8080", "52:54:00:00:00:02", "TRIDENT_1")
    with pytest.raises(TridentError) as caught:
        session.choose(other, interfaces=nets)
    assert caught.value.code == "other-machine"
