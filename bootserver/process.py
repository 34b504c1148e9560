"""What the server asks of the kernel for its own processes: user, capabilities, a shared end.

Sources: prctl(2), capabilities(7), capget(2). Linux only.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import struct
from pathlib import Path
from typing import Final

from agent.api.errors import Kind, TridentError

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522

NET_BIND_SERVICE: Final = 10
NET_ADMIN: Final = 12
NET_RAW: Final = 13
KEPT: Final = (NET_BIND_SERVICE, NET_ADMIN, NET_RAW)
"""Ports below 1024, addressing frames by hand, binding to an interface."""

_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """Have this process killed when its parent ends, whatever ends it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def become(user: str, *, owning: Path) -> None:
    """Turn from root into `user` for good, keeping the network capabilities.

    The folder `owning` is made if need be and given to the user with all it holds. Does nothing
    when the process is not root: then systemd has chosen user and capabilities.
    Raises unknown-user, cannot-become-user.
    """
    if os.geteuid() != 0:
        return
    entry = _account(user)
    try:
        _give(owning, entry.pw_uid, entry.pw_gid)
        _prctl(_PR_SET_KEEPCAPS, 1)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        _set_capabilities(KEPT)
        for capability in KEPT:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "cannot-become-user",
            f"cannot become user '{user}': {error.strerror}",
            hint="start as root with all capabilities, or as that user through the systemd unit",
        ) from error


def notify_ready() -> None:
    """Tell systemd that the service is up (sd_notify(3)); nothing when systemd did not ask."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", address)


def _give(folder: Path, uid: int, gid: int) -> None:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "unknown-user",
            f"there is no user '{user}' on this host",
            hint=f"create it (useradd --system {user}) or change `user` in the settings",
        ) from error


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _set_capabilities(capabilities: tuple[int, ...]) -> None:
    """Make these the effective, permitted and inheritable set of this process."""
    mask = sum(1 << capability for capability in capabilities)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low = struct.pack("=III", mask, mask, mask)
    data = low + struct.pack("=III", 0, 0, 0)
    if _libc.capset(ctypes.create_string_buffer(header), ctypes.create_string_buffer(data)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
