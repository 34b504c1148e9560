"""A machine's serial console: everything it printed (a file), and a line to type into.

Commands run in a root shell that the scenario's Host Configuration put on ttyS0 (see
docs/lab.md); their output crosses the line in base64 with a checksum between unique marks, so
kernel messages in between are noticed and the transfer, not the command, is repeated.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
import secrets
from dataclasses import dataclass

from lab import waiting
from lab.errors import InfrastructureFailed, ScenarioFailed
from lab.serial import SerialLine

_CRASH = re.compile(r"Oops:|\bBUG:|Kernel panic|general protection fault|soft lockup")
_NOT_THE_HARDWARE = re.compile(r"Attempted to kill init|Unable to mount root|No working init|sysrq")
_ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78cDEHM])")
_STOPPED = re.compile(r"trident: STOPPED: (.*)")
_TRANSFERS = 3
_ASK_EVERY = 20
"""Polls between two questions whether a shell is there."""
_TRANSFER_LIMIT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What a guest command left: exit status and its output (both streams)."""

    status: int
    output: str


class Console:
    """The serial line of one machine over all of its power cycles."""

    def __init__(self, line: SerialLine) -> None:
        self.line = line
        self.log = line.log

    def text(self, offset: int = 0) -> str:
        """What was printed from byte `offset` of the log on, without terminal escapes."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(offset)
            return _ESCAPES.sub(b"", stream.read()).decode("utf-8", "replace").replace("\r", "")

    def size(self) -> int:
        """Bytes printed so far: an offset for `text`."""
        return self.log.stat().st_size if self.log.exists() else 0

    def crash(self, offset: int = 0) -> str | None:
        """The first line of a guest kernel's crash report, or None.

        A panic because user space gave up is a failure of the product and no such crash.
        """
        return find_crash(self.text(offset))

    def type(self, text: str) -> None:
        """Type into the console. Raises InfrastructureFailed when the machine is off."""
        try:
            self.line.type(text.encode())
        except OSError as error:
            raise InfrastructureFailed(f"cannot type into the console: {error}") from error

    def wait_for(self, pattern: str, *, limit_s: float, offset: int = 0) -> re.Match[str]:
        """Wait until `pattern` (a regular expression) was printed from `offset` on.

        Raises ScenarioFailed at the limit, InfrastructureFailed when the kernel crashes first.
        """
        compiled = re.compile(pattern)

        def probe() -> re.Match[str] | None:
            found = compiled.search(self.text(offset))
            if found is None:
                self.raise_crash(offset)
            return found

        return waiting.until(probe, limit_s=limit_s, what=f"/{pattern}/ on the serial console")

    def raise_crash(self, offset: int = 0) -> None:
        """Raises InfrastructureFailed when the guest's kernel reported a crash."""
        crash = self.crash(offset)
        if crash is not None:
            raise InfrastructureFailed(f"the guest's kernel crashed: {crash}")

    def wait_for_shell(self, limit_s: float, *, since: int = 0) -> None:
        """Wait until a root shell answers on the line; it is asked every few seconds.

        Raises ScenarioFailed at once when the servicing image gave up after byte `since`.
        """
        mark = secrets.token_hex(6)
        offset = self.size()
        question = f"\r stty -echo; dmesg -n 1; echo; echo sh'ell'-{mark}\r"
        answer = re.compile(rf"^shell-{mark}$", re.MULTILINE)
        asked = itertools.count()

        def answers() -> bool:
            self.raise_crash(offset)
            self.raise_stopped(since)
            if answer.search(self.text(offset)):
                return True
            if next(asked) % _ASK_EVERY == 0:
                self.type(question)
            return False

        waiting.until(answers, limit_s=limit_s, what="a shell on the serial console")

    def raise_stopped(self, offset: int) -> None:
        """Raises ScenarioFailed when the servicing image's initrd said that it gave up."""
        stopped = _STOPPED.search(self.text(offset))
        if stopped:
            raise ScenarioFailed(f"the servicing image gave up: {stopped[1]}")

    def run(self, command: str, *, limit_s: float) -> Answer:
        """Run a shell command in the guest and return its status and output (at most 256 KiB).

        Needs an answering shell. Raises ScenarioFailed, InfrastructureFailed.
        """
        mark = secrets.token_hex(6)
        store = f"/run/lab-{mark}"
        encoded = base64.b64encode(command.encode()).decode()
        offset = self.size()
        for piece in _pieces(encoded):
            self.type(f" printf %s '{piece}' >>{store}.b64\r")
        self.type(
            f" base64 -d {store}.b64 >{store}.sh; sh {store}.sh </dev/null >{store}.out 2>&1;"
            f" echo $? >{store}.rc; echo; echo do'ne'-{mark}\r"
        )
        self.wait_for(rf"(?m)^done-{mark}$", limit_s=limit_s, offset=offset)
        for attempt in range(_TRANSFERS):
            answer = self._transfer(store, f"{mark}{attempt}")
            if answer is not None:
                self.type(f" rm -f {store}.*\r")
                return answer
        raise ScenarioFailed(f"the output of {command!r} was garbled {_TRANSFERS} times")

    def _transfer(self, store: str, mark: str) -> Answer | None:
        offset = self.size()
        self.type(
            f" echo; echo be'gin'-{mark}; cat {store}.rc; sha256sum <{store}.out;"
            f" head -c 262144 {store}.out | base64 -w 76; echo; echo en'd'-{mark}\r"
        )
        pattern = rf"(?ms)^begin-{mark}\n(.*?)^end-{mark}$"
        found = self.wait_for(pattern, limit_s=_TRANSFER_LIMIT_S, offset=offset)
        return parse_transfer(found[1])


def find_crash(text: str) -> str | None:
    """The first line of a kernel's own crash report in a console log, or None."""
    for line in text.splitlines():
        if _CRASH.search(line) and not _NOT_THE_HARDWARE.search(line):
            return line.strip()
    return None


def parse_transfer(body: str) -> Answer | None:
    """Status line, SHA-256 line, base64 lines -> an answer; None when anything is garbled."""
    lines = body.splitlines()
    try:
        status, digest = int(lines[0]), lines[1].split()[0]
        data = base64.b64decode("".join(lines[2:]), validate=True)
    except (ValueError, IndexError, binascii.Error):
        return None
    if len(data) < 262144 and hashlib.sha256(data).hexdigest() != digest:
        return None
    return Answer(status, data.decode("utf-8", "replace"))


def _pieces(text: str, size: int = 2000) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
