"""Accounts and authorized keys as text."""

from __future__ import annotations

from pathlib import Path

from agent.linux import accounts
from agent.linux.accounts import Account

PASSWD = """root:x:0:0:root:/root:/bin/bash
broken
alice:x:1000:1001:Alice,,,:/home/alice:/bin/sh
half:x:one:1:::
"""


def test_passwd_lines_are_parsed_and_broken_ones_skipped() -> None:
    assert accounts.parse(PASSWD) == (
        Account("root", 0, 0, "/root", "/bin/bash"),
        Account("alice", 1000, 1001, "/home/alice", "/bin/sh"),
    )


def test_an_account_is_found_by_name(tmp_path: Path) -> None:
    assert accounts.find(tmp_path, "alice") is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    found = accounts.find(tmp_path, "alice")
    assert found is not None
    assert found.uid == 1000
    assert accounts.find(tmp_path, "bob") is None


def test_keys_are_appended_once() -> None:
    present = "ssh-ed25519 AAAA one\n\nssh-ed25519 BBBB two\n"
    merged = accounts.merge_keys(present, ["ssh-ed25519 BBBB two", " ssh-rsa CCCC three "])
    assert merged == "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\nssh-rsa CCCC three\n"
    assert accounts.merge_keys(merged, ["ssh-rsa CCCC three"]) == merged
