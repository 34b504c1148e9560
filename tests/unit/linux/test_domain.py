"""How the kernel's answer about a domain is read. With SELinux on: update-selinux in tests/vm."""

from pathlib import Path

import pytest

from agent.linux import domain

ANSWER = "8200 ffffffff 0 ffffffff 12 0"


@pytest.mark.parametrize(("permission", "granted"), [(10, True), (16, True), (9, False)])
def test_the_first_mask_says_what_is_granted(permission: int, granted: bool) -> None:
    assert domain.grants(ANSWER, permission) is granted


@pytest.mark.skipif(Path("/sys/fs/selinux/access").exists(), reason="SELinux is on")
def test_without_selinux_nothing_is_kept() -> None:
    assert domain.keep() is False
