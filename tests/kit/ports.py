"""TCP and UDP ports for servers that have to be told theirs.

A port that was only found free can be taken before it is used: by any outgoing connection, by
another test. These come from below the range that the kernel takes ports from by itself, and each
is claimed, until this process ends, by a socket with an abstract name: such names are per network
namespace, as ports are.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOPBACK = "127.0.0.1"
_LOWEST = 10_000
_KERNELS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_claims: list[socket.socket] = []


def claimed() -> int:
    """A port that nobody uses on TCP or UDP of the loopback address, given to nobody else."""
    candidates = list(range(_LOWEST, int(_KERNELS_OWN.read_text().split()[0])))
    random.shuffle(candidates)
    return next(port for port in candidates if _claim(port))


def _claim(port: int) -> bool:
    mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mine.bind(f"\0trident-test-port-{port}")
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((_LOOPBACK, port))
    except OSError:
        mine.close()
        return False
    _claims.append(mine)
    return True


@contextmanager
def held() -> Iterator[socket.socket]:
    """A TCP socket of the loopback address that is bound and does not listen.

    Connections to it are refused, and nobody else can answer there, for the length of the block.
    """
    with socket.socket() as bound:
        bound.bind((_LOOPBACK, 0))
        yield bound


def number(bound: socket.socket) -> int:
    """The port of a bound socket."""
    found: int = bound.getsockname()[1]
    return found
