from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from agent.api.errors import TridentError, context
from agent.linux import run


def test_output_and_status_come_back() -> None:
    result = run.run(["sh", "-c", "echo out; echo err >&2; exit 3"], ok=(0, 3))
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_the_child_sees_a_fixed_environment_and_an_empty_stdin() -> None:
    os.environ["TRIDENT_TEST_LEAK"] = "leaked"
    try:
        result = run.run(
            ["sh", "-c", "cat; echo $LC_ALL:$TRIDENT_TEST_LEAK:$PATH:$EXTRA"], env={"EXTRA": "x"}
        )
    finally:
        del os.environ["TRIDENT_TEST_LEAK"]
    assert result.stdout == f"C.UTF-8::{run.SEARCH_PATH}:x\n"


def test_secrets_go_by_stdin() -> None:
    assert run.run(["cat"], stdin=b"secret").stdout_bytes == b"secret"
    long = bytes(range(256)) * 2001
    assert run.run(["cat"], stdin=long).stdout_bytes == long


def test_a_failure_has_the_end_of_stderr_and_a_line_to_rerun() -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line$i >&2; i=$((i+1)); done; exit 9"
    with pytest.raises(TridentError) as caught, context("testing"):
        run.run(["sh", "-c", script])
    error = caught.value
    assert error.identifier == "servicing/command-failed"
    assert error.message.startswith("sh exited with 9: ")
    assert error.message.endswith("line399")
    assert "line0\n" not in error.message
    assert error.hint is not None
    assert error.hint.startswith("rerun by hand: sh -c '")
    assert error.context == ["testing"]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(TridentError) as caught:
        run.run(["no-such-program-here"])
    assert caught.value.identifier == "execution-environment-misconfiguration/missing-binary"
    assert caught.value.fields == {"binary": "no-such-program-here"}


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(TridentError, match="did not end within"):
        run.run(["sh", "-c", f"sleep 60 & echo $! > {pid_file}; wait"], timeout_s=0.5)
    child = int(pid_file.read_text())
    deadline = time.monotonic() + 5
    while _is_running(child) and time.monotonic() < deadline:
        pass
    assert not _is_running(child)


def test_a_command_that_hangs_is_reported_with_what_it_wrote() -> None:
    with pytest.raises(TridentError, match=r"did not end within 0\.2 s and was killed: stuck$"):
        run.run(["sh", "-c", "echo stuck >&2; sleep 60"], timeout_s=0.2)


def test_a_signal_is_told_from_an_exit_status() -> None:
    with pytest.raises(TridentError, match="killed by signal 9"):
        run.run(["sh", "-c", "kill -9 $$"])


def test_a_spawned_program_ends_with_its_block(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with run.spawn(["sh", "-c", "echo up; exec sleep 60"], log=log) as process:
        deadline = time.monotonic() + 5
        while log.read_text() != "up\n" and time.monotonic() < deadline:
            pass
        assert process.poll() is None
        assert process.wait(0.01) is None
    assert process.poll() == -signal.SIGTERM
    assert log.read_text() == "up\n"


def test_a_spawned_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with run.spawn(
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], log=log
    ) as process:
        deadline = time.monotonic() + 5
        while log.read_text() != "up\n" and time.monotonic() < deadline:
            pass
        assert process.stop(grace_s=0.2) == -signal.SIGKILL


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
