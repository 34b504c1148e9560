"""Operator's scripts: bounded in time and output, and nothing of them goes on running."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux import script
from agent.linux.containment import Marked, contained, parse_own
from agent.linux.run import run
from tests.kit import cgroup


def test_a_script_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    text = f"sleep 300 & echo $! > {tmp_path}/child; sleep 300"
    started = time.monotonic()
    outcome = script.run(["/bin/sh", "-c", text], timeout_s=0.5, env={})
    assert outcome.returncode is None
    assert time.monotonic() - started < 10
    assert ended(int((tmp_path / "child").read_text()))


def test_a_child_left_in_the_background_does_not_outlive_its_script(tmp_path: Path) -> None:
    text = f"sleep 300 & echo $! > {tmp_path}/child; exit 3"
    outcome = script.run(["/bin/sh", "-c", text], timeout_s=10, env={})
    assert outcome.returncode == 3
    assert ended(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize("kind", ["cgroup", "mark"])
def test_f63_a_daemon_that_a_hook_leaves_behind_is_killed(tmp_path: Path, kind: str) -> None:
    """In a session of its own, its parent gone, and with more than one generation."""
    started = "setsid sh -c 'sleep 300 & echo $! > {0}; sleep 300' >/dev/null 2>&1 &"
    wait = "while ! test -s {0}; do sleep 0.02; done"
    text = "\n".join([started, wait]).format(tmp_path / "daemon")
    if kind == "cgroup":
        outcome = script.run(["/bin/sh", "-c", text], timeout_s=10, env={})
        assert outcome.returncode == 0
    else:
        marked = Marked()
        run(["/bin/sh", "-c", text], env=marked.environment)
        assert not ended(int((tmp_path / "daemon").read_text()), 0)
        marked.kill()
    assert ended(int((tmp_path / "daemon").read_text()))


def test_f63_a_hook_that_hangs_with_a_daemon_is_killed_at_its_time_limit(tmp_path: Path) -> None:
    text = f"setsid sleep 300 & echo $! > {tmp_path}/daemon; trap '' TERM; sleep 300; sleep 300"
    started = time.monotonic()
    outcome = script.run(["/bin/sh", "-c", text], timeout_s=0.5, env={})
    assert outcome.returncode is None
    assert time.monotonic() - started < 10
    assert ended(int((tmp_path / "daemon").read_text()))


def test_f63_a_hook_that_writes_a_gigabyte_is_read_and_not_kept() -> None:
    outcome = script.run(["/bin/sh", "-c", "head -c 1G /dev/zero"], timeout_s=120, env={})
    assert outcome.returncode == 0
    assert outcome.output_bytes == 1 << 30
    assert len(outcome.output) <= script.KEPT_BYTES


def test_a_containment_leaves_no_cgroup_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with cgroup.apart(monkeypatch) as cgroups:
        with contained() as inside:
            inside_of = run(inside.command(["cat", "/proc/self/cgroup"])).stdout
            assert all(directory.name in inside_of for directory in cgroups())
        assert not cgroups()


def test_the_own_cgroup_is_found_in_both_hierarchies() -> None:
    hybrid = "9:pids:/a\n0::/user.slice/x.scope\n"
    table = "31 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    assert parse_own(hybrid, table) == Path("/sys/fs/cgroup/unified/user.slice/x.scope")
    assert parse_own("9:pids:/a\n", table) is None
    assert parse_own(hybrid, "1 2 0:1 / / rw - ext4 /dev/sda rw\n") is None


def test_output_without_end_is_read_but_not_kept(tmp_path: Path) -> None:
    text = "yes 0123456789 | head -c 30000000; echo; echo the end"
    outcome = script.run(["/bin/sh", "-c", text], timeout_s=60, env={})
    assert outcome.returncode == 0
    assert outcome.output_bytes > 30_000_000
    assert len(outcome.output) <= script.KEPT_BYTES
    assert outcome.output.endswith("the end\n")


def test_a_missing_interpreter_is_an_error_of_its_own() -> None:
    with pytest.raises(TridentError) as caught:
        script.run(["/no/such/interpreter"], timeout_s=1, env={})
    assert caught.value.code == "command-could-not-execute"


def ended(pid: int, timeout_s: float = 5) -> bool:
    """Whether the process has ended, or does so within the time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], timeout_s)
        return bool(readable)
    finally:
        os.close(descriptor)
