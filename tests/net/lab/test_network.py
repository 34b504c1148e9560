"""Racks: real namespaces, bridges and taps."""

from __future__ import annotations

import pytest

from agent.linux.run import run
from lab import network

pytestmark = pytest.mark.net


def namespaces() -> set[str]:
    lines = run(["ip", "netns", "list"]).stdout.splitlines()
    return {line.split()[0] for line in lines if line}


def test_a_rack_leaves_nothing_behind() -> None:
    before = namespaces()
    with network.rack() as rack:
        rack.add_tap("tap0")
        assert rack.name in namespaces()
        links = run(rack.inside(["ip", "-brief", "link"])).stdout
        assert "br0" in links
        assert "tap0" in links
    assert namespaces() == before


def test_a_neighbour_reaches_the_servers_address_over_the_bridge() -> None:
    with network.rack() as rack, rack.neighbour("dhcp") as neighbour:
        route = run(neighbour.inside(["ip", "route", "get", network.SERVER_ADDRESS])).stdout
        assert "dev eth0" in route
        ping = [
            "python3",
            "-c",
            "import socket; s=socket.socket(); s.settimeout(5)\n"
            f"print(s.connect_ex(('{network.SERVER_ADDRESS}', 9)))",
        ]
        assert run(neighbour.inside(ping)).stdout.strip() == "111"


def test_two_racks_with_the_same_addresses_do_not_meet() -> None:
    with network.rack() as one, network.rack() as two:
        assert one.name != two.name


def test_a_rack_of_a_dead_run_is_removed_with_what_runs_in_it() -> None:
    stale = "tlab-4194305-1-0"
    run(["ip", "netns", "add", stale])
    assert stale in network.remove_stale()
    assert stale not in namespaces()
