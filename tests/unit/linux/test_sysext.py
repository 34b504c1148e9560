"""What `status --json=short` says, before and since systemd 259."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.api.extensions import ExtensionKind
from agent.linux.sysext import parse_status

SYSEXT, CONFEXT = ExtensionKind
MERGED = (
    '[{"hierarchy":"/opt","extensions":"none","since":null},'
    '{"hierarchy":"/usr","extensions":["a","b"],"since":1795634653902680}]'
)


def test_merged_images_are_those_of_the_kinds_own_folder() -> None:
    assert parse_status(MERGED, SYSEXT) == {"a", "b"}
    assert parse_status(MERGED, CONFEXT) == frozenset()


@pytest.mark.parametrize("nothing", ['"none"', "[]", "null"])
def test_nothing_merged_is_no_name(nothing: str) -> None:
    assert parse_status(f'[{{"hierarchy":"/usr","extensions":{nothing}}}]', SYSEXT) == frozenset()


def test_anything_else_is_an_error() -> None:
    with pytest.raises(TridentError):
        parse_status("No extensions found.", SYSEXT)
