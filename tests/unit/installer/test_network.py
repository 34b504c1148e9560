from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from installer import network

MAC = "52:54:00:00:00:01"


def interface(root: Path, name: str, mac: str, *, carrier: str | None, device: bool = True) -> Path:
    entry = root / name
    entry.mkdir(parents=True)
    (entry / "address").write_text(f"{mac}\n")
    if carrier is not None:
        (entry / "carrier").write_text(f"{carrier}\n")
    if device:
        (entry / "device").mkdir()
    return entry


def test_bootif_wins_over_all_else(tmp_path: Path) -> None:
    assert network.identity(MAC, record=tmp_path / "none", interfaces=tmp_path) == MAC


def test_the_nic_the_initrd_used_names_the_machine(tmp_path: Path) -> None:
    record = tmp_path / "netboot.json"
    record.write_text(json.dumps({"interface": "eth0", "mac": "52:54:00:AA:BB:CC"}))
    found = network.identity(None, record=record, interfaces=tmp_path)
    assert found == "52:54:00:aa:bb:cc"


def test_the_only_nic_with_a_carrier_names_the_machine(tmp_path: Path) -> None:
    nics = tmp_path / "net"
    interface(nics, "lo", "00:00:00:00:00:00", carrier="1", device=False)
    interface(nics, "eth0", "52:54:00:00:00:02", carrier="0")
    interface(nics, "eth1", MAC, carrier="1")
    interface(nics, "eth2", "52:54:00:00:00:03", carrier=None)
    assert network.identity(None, record=tmp_path / "none", interfaces=nics) == MAC


def test_two_candidates_are_not_guessed_between(tmp_path: Path) -> None:
    nics = tmp_path / "net"
    interface(nics, "eth0", "52:54:00:00:00:02", carrier="1")
    interface(nics, "eth1", MAC, carrier="1")
    with pytest.raises(TridentError, match="cannot tell which"):
        network.identity(None, record=tmp_path / "none", interfaces=nics)


def test_a_link_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    nic = interface(tmp_path, "eth0", MAC, carrier="0")
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            (nic / "carrier").write_text("1\n")

    network.wait_for_link(MAC, interfaces=tmp_path, pause=pause)
    assert len(waits) == 3


def test_a_link_that_never_comes_says_to_check_the_cable(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", MAC, carrier="0")
    with pytest.raises(TridentError) as caught:
        network.wait_for_link(MAC, interfaces=tmp_path, wait_s=0, pause=lambda _: None)
    assert "cable" in (caught.value.hint or "")
