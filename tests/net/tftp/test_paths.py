"""TFTP over a cable: blocks are no larger than the path; windows go out with or without offload."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from agent.linux.run import run
from bootserver.tftp.content import Memory
from bootserver.tftp.sending import Truncated, WindowSender
from bootserver.tftp.transfer import Window
from tests.kit.netns import NEAR, cable
from tests.kit.tftp_server import serving

_SO_NO_CHECK = 11
"""Linux: segmentation offload needs checksums; a socket without them is refused it."""


@pytest.mark.net
def test_blocks_are_clamped_to_the_mtu_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "loader").write_bytes(os.urandom(2_000_000))
    ours = hashlib.sha256((tmp_path / "loader").read_bytes()).hexdigest()
    with cable(tmp_path / "peer.log", peer_address="10.77.0.9/24") as peer:
        run(["ip", "link", "set", NEAR, "mtu", "1400"])
        with serving(tmp_path, address=IPv4Address("10.77.0.1")) as one:
            url = f"tftp://10.77.0.1:{one.server.port}/loader"
            fetched = ["curl", "-sSv", "--tftp-blksize", "65464", "-o", str(tmp_path / "got"), url]
            log = run(peer.inside(fetched), merge_stderr=True).stdout
            assert "got option=(blksize) value=(1368)" in log
            one.told("done")
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == ours


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as near,
        socket.socket(type=socket.SOCK_DGRAM) as far,
    ):
        far.bind(("127.0.0.1", 0))
        far.settimeout(5)
        near.connect(far.getsockname())
        yield near, far


@pytest.mark.parametrize("offload", ["works", "off", "refused"])
def test_a_window_arrives_the_same_however_it_is_sent(
    pair: tuple[socket.socket, socket.socket], offload: str
) -> None:
    near, far = pair
    if offload == "refused":
        near.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
    data = os.urandom(512 * 63 + 17)
    works = WindowSender().send(near, Memory(data), 512, Window(1, 64), offload != "off")
    assert works is (offload == "works")
    packets = [far.recv(1000) for _ in range(64)]
    assert [int.from_bytes(one[2:4], "big") for one in packets] == list(range(1, 65))
    assert b"".join(one[4:] for one in packets) == data


def test_a_window_larger_than_one_batch_is_sent_in_several(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    data = os.urandom(8192 * 20)
    WindowSender().send(near, Memory(data), 8192, Window(3, 14), offload=True)
    assert b"".join(far.recv(9000)[4:] for _ in range(12)) == data[8192 * 2 : 8192 * 14]


def test_a_full_send_queue_loses_packets_and_nothing_else(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, _ = pair
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    near.setblocking(False)
    sender = WindowSender()
    assert sender.send(near, Memory(bytes(60_000)), 1000, Window(1, 61), offload=True)


def test_a_source_that_ends_early_is_noticed(pair: tuple[socket.socket, socket.socket]) -> None:
    class Shrunk(Memory):
        size = 5000

    with pytest.raises(Truncated):
        WindowSender().send(pair[0], Shrunk(bytes(600)), 512, Window(1, 4), offload=True)
