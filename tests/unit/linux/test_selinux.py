"""/etc/selinux/config as text."""

from __future__ import annotations

from pathlib import Path

from agent.linux import selinux

CONFIG = "# SELINUX= can take one of three values\nSELINUX=permissive\nSELINUXTYPE = default \n"


def test_mode_and_policy_are_read() -> None:
    assert selinux.mode(CONFIG) == "permissive"
    assert selinux.policy_type(CONFIG) == "default"
    assert selinux.mode("# nothing\n") is None
    assert selinux.policy_type("SELINUX=enforcing\n") == "targeted"


def test_only_the_mode_changes() -> None:
    assert selinux.set_mode(CONFIG, "enforcing") == CONFIG.replace("permissive", "enforcing")
    assert selinux.set_mode("SELINUXTYPE=mls", "disabled") == "SELINUXTYPE=mls\nSELINUX=disabled\n"


def test_the_contexts_are_those_of_the_policy() -> None:
    assert selinux.file_contexts("mls") == Path("etc/selinux/mls/contexts/files/file_contexts")
