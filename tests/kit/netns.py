"""Private networks for tests: two namespaces joined by a veth pair while a block runs.

A network namespace belongs to a thread: the block runs inside the first one (threads and processes
started in it are there too), `Peer.inside` names the command line that runs in the second.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run, spawn
from lab import waiting

NEAR, FAR = "veth-near", "veth-far"
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIFE_S = "300"


@dataclass(frozen=True)
class Peer:
    """The second namespace; its end of the cable is the interface `veth-far`."""

    pid: int

    def inside(self, argv: Sequence[str | os.PathLike[str]]) -> list[str]:
        """The command line that runs `argv` there."""
        return ["nsenter", "-t", str(self.pid), "-n", *(os.fspath(word) for word in argv)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets made in the block belong to the peer's namespace."""
        with _back_home():
            target = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                _checked(_LIBC.setns(target, _CLONE_NEWNET))
            finally:
                os.close(target)
            yield

    def ip(self, *words: str) -> None:
        run(self.inside(["ip", *words]))


@contextmanager
def cable(
    log: Path, address: str = "10.77.0.1/24", peer_address: str | None = None
) -> Iterator[Peer]:
    """Enter a new namespace whose interface `veth-near` has `address`; the peer has the other end.

    Needs root. `log` takes the output of the process that keeps the peer alive.
    """
    with isolated(), spawn(["unshare", "-n", "sleep", _LIFE_S], log=log) as keeper:
        peer = Peer(keeper.pid)
        _wait_until_moved(keeper.pid)
        run(["ip", "link", "add", NEAR, "type", "veth", "peer", FAR, "netns", str(keeper.pid)])
        run(["ip", "address", "add", address, "dev", NEAR])
        run(["ip", "link", "set", NEAR, "up"])
        if peer_address is not None:
            peer.ip("address", "add", peer_address, "dev", FAR)
        peer.ip("link", "set", "lo", "up")
        peer.ip("link", "set", FAR, "up")
        _wait_until_up(["ip", "-br", "link", "show", NEAR])
        _wait_until_up(peer.inside(["ip", "-br", "link", "show", FAR]))
        yield peer


@contextmanager
def isolated() -> Iterator[None]:
    """Run the block in a network namespace of its own with only `lo`. Needs root."""
    with _back_home():
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        run(["ip", "link", "set", "lo", "up"])
        yield


@contextmanager
def _back_home() -> Iterator[None]:
    """Return to the current namespace at the end of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _checked(_LIBC.setns(home, _CLONE_NEWNET))
        os.close(home)


def _wait_until_moved(pid: int) -> None:
    """Until `unshare` has made the namespace: then the process' differs from ours."""
    ours = Path("/proc/thread-self/ns/net").readlink()
    theirs = Path(f"/proc/{pid}/ns/net")
    waiting.until(
        lambda: theirs.readlink() != ours, limit_s=5, what="the second namespace", poll_s=0.01
    )


def _wait_until_up(show: Sequence[str]) -> None:
    """Until the interface carries packets: what is sent before is lost."""
    waiting.until(
        lambda: run(show).stdout.split()[1] == "UP", limit_s=5, what="the cable", poll_s=0.02
    )


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
