from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi import tar
from agent.cosi.reader import MARKER, METADATA, CosiImage, open_image
from agent.cosi.source import open_source, probe
from tests.unit.cosi import images


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], CosiImage]:
    def open_bytes(data: bytes, expected: str | None = None) -> CosiImage:
        file = tmp_path / "image.cosi"
        file.write_bytes(data)
        return open_image(open_source(file.as_uri()), expected)

    return open_bytes


Opened = Callable[..., CosiImage]


def refusal(opened: Opened, data: bytes) -> str:
    with pytest.raises(TridentError) as caught:
        opened(data)
    assert caught.value.code in ("corrupt-os-image", "load-cosi")
    return caught.value.message


def test_an_image_tells_its_members_and_metadata(opened: Opened) -> None:
    pieces = images.sample_pieces()
    data = images.cosi_bytes(pieces)
    image = opened(data)
    assert list(image.members) == [MARKER, METADATA, *(piece.path for piece in pieces)]
    for piece in pieces:
        member = image.member(piece.path)
        assert data[member.offset : member.offset + member.size] == piece.packed
    text = json.dumps(images.metadata_of(pieces)).encode()
    assert image.metadata_sha384 == hashlib.sha384(text).hexdigest()
    assert image.metadata.compression is not None
    assert image.metadata.compression.max_window_log == 22


def test_the_expected_digest_of_the_metadata_decides(opened: Opened) -> None:
    """F44, F45."""
    data = images.cosi_bytes()
    digest = opened(data).metadata_sha384
    assert opened(data, digest.upper()).metadata_sha384 == digest
    with pytest.raises(TridentError) as caught:
        opened(data, "0" * 96)
    assert caught.value.identifier == "invalid-input/load-cosi"
    assert digest in caught.value.message


def test_files_that_other_tar_writers_made_are_read(tmp_path: Path, opened: Opened) -> None:
    pieces = images.sample_pieces()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        document = json.dumps(images.metadata_of(pieces)).encode()
        folder = tarfile.TarInfo("images")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in [(METADATA, document)] + [(p.path, p.packed) for p in pieces]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert len(opened(buffer.getvalue()).members) == 4


def test_whatever_follows_the_end_of_the_archive_is_ignored(opened: Opened) -> None:
    assert len(opened(images.cosi_bytes() + b"a footer of somebody else").members) == 5


def test_unknown_extra_members_are_ignored(opened: Opened) -> None:
    extra = images.entry("extra/notes.txt", b"hello")
    image = opened(images.cosi_bytes()[:-1024] + extra + bytes(1024))
    assert image.member("extra/notes.txt").size == 5


def test_a_truncated_file_is_refused_wherever_it_ends(opened: Opened) -> None:
    """F43."""
    data = images.cosi_bytes()
    ends = {0, 1, 511, 512, 513, 1023, 1024, 1500, len(data) - 1024, len(data) - 1023}
    for member in opened(data).members.values():
        start, end = member.offset, member.offset + member.size
        ends |= {start - 512, start - 1, start, start + 1, end - 1, end, -(-end // 512) * 512}
    for end in sorted(ends - {len(data)}):
        assert refusal(opened, data[:end]), f"accepted {end} of {len(data)} bytes"


def test_two_members_of_one_name_are_refused(opened: Opened) -> None:
    again = images.entry(METADATA, b"{}")
    assert "twice" in refusal(opened, images.cosi_bytes()[:-1024] + again + bytes(1024))


def test_a_file_without_metadata_is_no_cosi_file(opened: Opened) -> None:
    assert "holds no metadata.json" in refusal(opened, images.archive([(MARKER, b"")]))


def test_something_else_altogether_is_no_cosi_file(opened: Opened) -> None:
    assert "not a COSI file" in refusal(opened, b"<!doctype html>" * 100)


def test_a_member_that_the_metadata_names_must_exist(opened: Opened) -> None:
    pieces = images.sample_pieces()
    data = images.cosi_bytes(pieces[:2], images.metadata_of(pieces))
    assert "images/root.rawzst" in refusal(opened, data)


def test_sizes_of_archive_and_metadata_must_agree(opened: Opened) -> None:
    pieces = images.sample_pieces()
    metadata = images.metadata_of(pieces)
    metadata["disk"]["gptRegions"][0]["image"]["compressedSize"] += 1
    assert "its metadata says" in refusal(opened, images.cosi_bytes(pieces, metadata))


def test_absurdly_large_metadata_is_refused_unread(opened: Opened) -> None:
    header = tar.encode_header(METADATA, 17 * 1024 * 1024)
    data = header + bytes(17 * 1024 * 1024) + bytes(1024)
    assert "more than 16 MiB" in refusal(opened, data)


@pytest.mark.parametrize("size", [2**40, 2**63, 2**87])
def test_a_size_beyond_the_end_of_the_file_is_refused(opened: Opened, size: int) -> None:
    data = tar.encode_header("images/a", 0)[:124] + b"\x80" + size.to_bytes(11, "big")
    block = bytearray(data + tar.encode_header("images/a", 0)[136:])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert "truncated" in refusal(opened, bytes(block) + bytes(1024))


def test_an_archive_of_too_many_entries_is_refused(opened: Opened) -> None:
    data = b"".join(images.entry(f"images/{number}", b"") for number in range(4200))
    assert "more than 4096 entries" in refusal(opened, data + bytes(1024))


def extension(records: bytes, typeflag: bytes = b"x") -> bytes:
    block = bytearray(images.entry("PaxHeaders/x", records))
    block[156:157] = typeflag
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def test_harmless_extended_headers_are_read_over(opened: Opened) -> None:
    data = images.cosi_bytes()
    assert len(opened(extension(b"11 mtime=1\n", b"g") + extension(b"9 uid=10\n") + data).members)


@pytest.mark.parametrize(
    "records",
    [b"20 path=/etc/passwd\n", b"30 GNU.sparse.realsize=123456\n", b"19 size=8589934592\n"],
)
def test_extended_headers_that_override_are_refused(opened: Opened, records: bytes) -> None:
    kind = b"g" if records.startswith(b"19") else b"x"
    assert "overrides" in refusal(opened, extension(records, kind) + images.cosi_bytes())


def test_a_huge_extended_header_is_refused_unread(opened: Opened) -> None:
    data = extension(bytes(100_000)) + images.cosi_bytes()
    assert "extended tar header has 100000 bytes" in refusal(opened, data)


def test_the_end_of_a_file_that_shrinks_while_open_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "image.cosi"
    file.write_bytes(images.cosi_bytes())
    with open_source(file.as_uri()) as source:
        file.write_bytes(b"short")
        with pytest.raises(TridentError, match="ends at byte"):
            source.read_at(1000, 10)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("oci://registry/image:1", "image-url-scheme"),
        ("ftp://server/image.cosi", "image-url-scheme"),
        ("image.cosi", "image-url-scheme"),
        ("file://otherhost/image.cosi", "load-cosi"),
        ("file:image.cosi", "load-cosi"),
        ("file:///no/such/file", "load-cosi"),
        ("file:///tmp/a%00b", "load-cosi"),
        ("http://[broken/", "load-cosi"),
    ],
)
def test_urls_that_cannot_be_opened_say_so(url: str, code: str) -> None:
    with pytest.raises(TridentError) as caught:
        open_source(url)
    assert caught.value.code == code


def test_probing_a_file_tells_its_size(tmp_path: Path) -> None:
    file = tmp_path / "a b.cosi"
    file.write_bytes(b"x" * 77)
    assert probe(file.as_uri()) == 77


def test_a_range_outside_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.cosi"
    file.write_bytes(b"x" * 77)
    with (
        open_source(file.as_uri()) as source,
        pytest.raises(TridentError, match="has no bytes"),
        source.open_range(70, 8),
    ):
        pass
