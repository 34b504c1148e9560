"""os-release text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api import osrelease


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ID=azurelinux", "azurelinux"),
        ('ID="Azure Linux"', "Azure Linux"),
        ("ID='a b'", "a b"),
        ('ID="a\\"b"', 'a"b'),
        ("ID=", ""),
        ("  ID=x  ", "x"),
        ('ID="unfinished', "unfinished"),
        ("ID=a\nID=b", "b"),
    ],
)
def test_values_are_unquoted_like_a_shell_does(line: str, value: str) -> None:
    assert osrelease.parse(line) == {"ID": value}


def test_comments_and_other_lines_are_skipped() -> None:
    assert osrelease.parse("# ID=x\nexport ID=y\n\nlower=z\n=\n") == {}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert all("=" not in key for key in osrelease.parse(text))
