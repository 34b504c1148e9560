"""Which extension images systemd would merge into which operating system."""

from __future__ import annotations

import pytest

from agent.api import extensions
from agent.api.extensions import ExtensionKind
from agent.api.load import load
from agent.api.parttypes import Architecture

BOOKWORM = {"ID": "debian", "VERSION_ID": "12"}
LEVELLED = {"ID": "x", "VERSION_ID": "7", "SYSEXT_LEVEL": "2", "CONFEXT_LEVEL": "5"}
SYSEXT, CONFEXT = ExtensionKind


@pytest.mark.parametrize(
    ("kind", "image", "host"),
    [
        (SYSEXT, {"ID": "_any"}, BOOKWORM),
        (SYSEXT, {"ID": "debian", "VERSION_ID": "12"}, BOOKWORM),
        (SYSEXT, {"ID": "debian", "VERSION_ID": "12"}, BOOKWORM | {"ID": "o", "ID_LIKE": "debian"}),
        (SYSEXT, {"ID": "debian"}, {"ID": "debian"}),
        (SYSEXT, {"ID": "x", "SYSEXT_LEVEL": "2", "VERSION_ID": "other"}, LEVELLED),
        (SYSEXT, {"ID": "x", "VERSION_ID": "7"}, LEVELLED),
        (CONFEXT, {"ID": "x", "CONFEXT_LEVEL": "5"}, LEVELLED),
        (SYSEXT, {"ID": "_any", "ARCHITECTURE": "x86-64"}, BOOKWORM),
        (SYSEXT, {"ID": "_any", "SYSEXT_SCOPE": "initrd system"}, BOOKWORM),
    ],
)
def test_an_image_fits(kind: ExtensionKind, image: dict[str, str], host: dict[str, str]) -> None:
    assert extensions.misfit(kind, image, host, Architecture.X86_64) is None


@pytest.mark.parametrize(
    ("image", "host", "why"),
    [
        ({}, BOOKWORM, "no ID"),
        ({"ID": "fedora"}, BOOKWORM, "'fedora'"),
        ({"ID": "debian", "VERSION_ID": "11"}, BOOKWORM, "VERSION_ID '11'"),
        ({"ID": "debian"}, BOOKWORM, "VERSION_ID ''"),
        ({"ID": "x", "SYSEXT_LEVEL": "3", "VERSION_ID": "7"}, LEVELLED, "SYSEXT_LEVEL '3'"),
        ({"ID": "x", "CONFEXT_LEVEL": "2"}, LEVELLED, "VERSION_ID ''"),
        ({"ID": "_any", "ARCHITECTURE": "arm64"}, BOOKWORM, "arm64"),
        ({"ID": "_any", "SYSEXT_SCOPE": "portable"}, BOOKWORM, "portable"),
    ],
)
def test_an_image_does_not_fit(image: dict[str, str], host: dict[str, str], why: str) -> None:
    problem = extensions.misfit(SYSEXT, image, host, Architecture.X86_64)
    assert problem is not None
    assert why in problem


def test_both_kinds_are_listed_and_named_by_their_files() -> None:
    sections = {"sysexts": "http://h/d/tools.raw?t=1", "confexts": "file:///site.raw"}
    entries = [
        f"{name}: [{{url: '{url}', sha384: '{'a' * 96}'}}]" for name, url in sections.items()
    ]
    os = load(f"os: {{{', '.join(entries)}}}").os
    assert [(str(one.kind), one.file_name) for one in extensions.wanted(os)] == [
        ("sysext", "tools.raw"),
        ("confext", "site.raw"),
    ]
    assert str(extensions.default_path(CONFEXT, "site")) == "/var/lib/confexts/site.raw"
