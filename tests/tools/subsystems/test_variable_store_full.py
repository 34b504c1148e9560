"""A full NVRAM. Last by name: firmware frees the space of deleted variables at a reboot only."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.linux import bootvars, efivars

pytestmark = pytest.mark.toolbox

GUID = "5f0aeb6d-54ab-4f0c-9d4b-9d2d3c8b8a12"
VALUE = bytes(8000)


def fill() -> None:
    """Store variables until there is no room for another one."""
    for number in range(4096):
        efivars.write(f"TridentFiller{number}", GUID, VALUE)


def test_it_is_found_and_explained_before_an_entry_is_touched() -> None:
    """F59."""
    before = bootvars.read()
    try:
        with pytest.raises(TridentError, match="variable store is full"):
            fill()
        with pytest.raises(TridentError, match="variable store is full") as caught:
            efivars.require_space(len(VALUE))
        assert caught.value.code == "set-efi-variable"
        assert "dump-*" in str(caught.value.hint)
        assert bootvars.read() == before
    finally:
        for path in efivars.DIRECTORY.glob(f"TridentFiller*-{GUID}"):
            efivars.delete(path.name.removesuffix(f"-{GUID}"), GUID)
