"""Packages read out of RPM's database."""

from __future__ import annotations

import contextlib
import struct
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.errors import TridentError
from iso_builder.cosi.inventory import Package
from iso_builder.cosi.rpmdb import packages, parse_header
from tests.unit.cosi.rpm import INT32, NAME, STRING, VERSION, database, header, package


def test_packages_are_told_as_rpm_tells_them(tmp_path: Path) -> None:
    headers = [
        package("systemd", "255", "20.azl3", "x86_64"),
        package("bash", "5.2.15", "3.azl3", "x86_64"),
        package("kernel", "6.6.78.1", "3.azl3", "x86_64"),
        package("kernel", "6.6.57.1", "7.azl3", "x86_64"),
        package("ca-certificates", "3.0.0", "8.azl3", "noarch"),
        package("gpg-pubkey", "3135ce90", "5e6fda74", None),
    ]
    database(tmp_path / "rpmdb.sqlite", headers).close()
    assert packages(tmp_path / "rpmdb.sqlite") == (
        Package("bash", "5.2.15", "3.azl3", "x86_64"),
        Package("ca-certificates", "3.0.0", "8.azl3", "noarch"),
        Package("kernel", "6.6.57.1", "7.azl3", "x86_64"),
        Package("kernel", "6.6.78.1", "3.azl3", "x86_64"),
        Package("systemd", "255", "20.azl3", "x86_64"),
    )


def test_what_is_still_in_the_write_ahead_log_counts(tmp_path: Path) -> None:
    source, copy = tmp_path / "rpmdb.sqlite", tmp_path / "copy.sqlite"
    with closing(database(source, [package("late", "1", "1", "noarch")], journal="wal")):
        wal = Path(f"{source}-wal")
        assert wal.stat().st_size > 0
        copy.write_bytes(source.read_bytes())
        Path(f"{copy}-wal").write_bytes(wal.read_bytes())
    assert [item.name for item in packages(copy)] == ["late"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\0",
        struct.pack(">II", 2**31, 0),
        struct.pack(">II", 1, 2**31) + bytes(16),
        header((VERSION, STRING, b"1\0")),
        header((NAME, INT32, b"\0\0\0\1"), (VERSION, STRING, b"1\0")),
    ],
)
def test_damaged_headers_are_refused(content: bytes) -> None:
    with pytest.raises(TridentError) as caught:
        parse_header(content)
    assert caught.value.code == "corrupt-os-image"


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_a_file_that_is_no_database_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rpmdb.sqlite").write_bytes(content)
    with pytest.raises(TridentError, match="cannot be read") as caught:
        packages(tmp_path / "rpmdb.sqlite")
    assert caught.value.code == "corrupt-os-image"


@given(st.binary(max_size=300))
def test_no_header_makes_the_reader_crash(content: bytes) -> None:
    with contextlib.suppress(TridentError):
        parse_header(content)


@given(st.text("abc-+.0123456789é", min_size=1), st.text("0123456789.~^", min_size=1))
def test_names_and_versions_come_back_as_they_were(name: str, version: str) -> None:
    found = parse_header(package(name, version, "1", "aarch64"))
    assert found == Package(name, version, "1", "aarch64")
