"""The initramfs archive writer."""

from __future__ import annotations

from iso_builder import cpio


def test_parents_are_added_once_and_before_their_children() -> None:
    entries = cpio.with_parents(
        [cpio.file("a/b/c", b"1"), cpio.file("a/b/d", b"2"), cpio.folder("a", 0o700)]
    )
    assert [entry.name for entry in entries] == ["a", "a/b", "a/b/c", "a/b/d"]
    assert entries[0].mode == cpio.folder("a", 0o700).mode


def test_the_same_entries_make_the_same_bytes() -> None:
    entries = [cpio.file("init", b"#!/bin/sh\n", 0o755), cpio.link("bin", "usr/bin")]
    assert cpio.encode(entries) == cpio.encode(list(entries))
    assert len(cpio.encode(entries)) % 512 == 0
