"""What is read off a serial line."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.console import Answer, Console, find_crash, parse_transfer
from lab.errors import InfrastructureFailed, ScenarioFailed
from lab.serial import SerialLine


def console_of(log: Path) -> Console:
    return Console(SerialLine(log.parent / "none", log))


def transfer(output: bytes, status: int = 0) -> str:
    digest = hashlib.sha256(output).hexdigest()
    return f"{status}\n{digest}  -\n{base64.encodebytes(output).decode()}"


def test_output_crosses_the_line_as_it_was() -> None:
    assert parse_transfer(transfer(b"two\nlines\n", 3)) == Answer(3, "two\nlines\n")
    assert parse_transfer(transfer(b"")) == Answer(0, "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.replace("\n", "\n[   12.3] usb 1-1: new device\n", 2),
        lambda body: body[:-6] + "\n",
        lambda _body: "",
        lambda body: "x" + body,
    ],
)
def test_a_garbled_transfer_is_noticed(spoil: Callable[[str], str]) -> None:
    assert parse_transfer(spoil(transfer(b"some output that matters"))) is None


@pytest.mark.parametrize(
    ("line", "is_crash"),
    [
        ("[   10.1] Oops: 0002 [#1] PREEMPT SMP", True),
        ("[   10.1] BUG: unable to handle page fault", True),
        ("[   10.1] Kernel panic - not syncing: Fatal exception", True),
        ("[   10.1] Kernel panic - not syncing: Attempted to kill init!", False),
        ("[   10.1] Kernel panic - not syncing: VFS: Unable to mount root fs", False),
        ("DEBUG: all is well", False),
    ],
)
def test_only_the_kernels_own_crashes_count_as_crashes(line: str, is_crash: bool) -> None:
    assert (find_crash(f"before\n{line}\nafter") is not None) is is_crash


def test_terminal_escapes_and_carriage_returns_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[2J\x1b[01;01H\x1b[=3h>>Start \x1b[0mPXE\r\n")
    assert ">>Start PXE\n" in console_of(log).text()


def test_waiting_ends_at_the_limit_and_names_the_pattern(tmp_path: Path) -> None:
    console = console_of(tmp_path / "log")
    with pytest.raises(ScenarioFailed, match="login"):
        console.wait_for("login:", limit_s=0.01)


def test_waiting_ends_at_once_when_the_kernel_crashes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Oops: 0002 [#1]\n")
    with pytest.raises(InfrastructureFailed, match="0002"):
        console_of(log).wait_for("login:", limit_s=60)


def test_typing_at_a_machine_that_is_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureFailed, match="type"):
        console_of(tmp_path / "log").type("hello\r")


def test_all_that_comes_down_the_line_is_logged_once_and_input_is_kept_until_read(
    tmp_path: Path,
) -> None:
    line = SerialLine(tmp_path / "serial", tmp_path / "log")
    printed = bytes(range(256)) * 800
    line.open()
    machine = os.open(line.output, os.O_WRONLY)
    keyboard = os.open(line.input, os.O_RDWR)
    for start in range(0, len(printed), 3):
        os.write(machine, printed[start : start + 3])
    line.type(b"typed")
    line.close()
    assert (tmp_path / "log").read_bytes() == printed
    assert os.read(keyboard, 100) == b"typed"
    os.close(machine)
    os.close(keyboard)
