from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import spawn
from agent.servicing.lock import servicing_lock

HOLDER = """
import sys, signal
from pathlib import Path
from agent.servicing.lock import servicing_lock
with servicing_lock("install", Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_operation_is_told_who_is_busy_with_what(tmp_path: Path) -> None:
    """F55."""
    path, log = tmp_path / "lock", tmp_path / "log"
    with spawn([sys.executable, "-c", HOLDER, path], log=log, cwd=Path.cwd()) as holder:
        while not log.exists() or log.read_text() != "held\n":
            assert holder.wait(0.01) is None, log.read_text()
        with pytest.raises(TridentError) as caught, servicing_lock("commit", path):
            pass
        assert caught.value.identifier == "servicing/busy"
        assert caught.value.fields == {"pid": str(holder.pid), "operation": "install"}
        assert str(holder.pid) in caught.value.message
        holder.signal(signal.SIGKILL)
        holder.wait(5)
    with servicing_lock("commit", path):
        assert path.read_text().endswith(" commit\n")
    assert path.read_text() == ""
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "run/lock"
    with pytest.raises(ZeroDivisionError), servicing_lock("install", path):
        raise ZeroDivisionError
    with servicing_lock("install", path):
        pass


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TridentError), servicing_lock("install", tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()
