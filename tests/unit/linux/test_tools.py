"""Missing programs are named all at once."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.linux import mkfs, tools


def test_every_missing_program_is_in_one_error() -> None:
    with pytest.raises(TridentError) as caught:
        tools.check(["sh", "no-such-tool-b", "no-such-tool-a", "no-such-tool-b"])
    assert "'no-such-tool-a', 'no-such-tool-b'" in caught.value.message
    assert caught.value.identifier == "execution-environment-misconfiguration/missing-binary"


def test_nothing_is_raised_when_all_are_there() -> None:
    tools.check(["sh", "cat"])
    assert tools.missing([]) == ()


def test_a_file_system_that_nothing_makes_is_an_internal_error() -> None:
    assert mkfs.binary("ext4") == "mkfs.ext4"
    with pytest.raises(TridentError, match="no program is known"):
        mkfs.binary("overlay")
