"""Fuzzes COSI: mutants of valid files through reader, metadata, stream and partition table.

`python -m tests.fuzz.fuzz_cosi --count 100000`: no exception but TridentError, no hang, no thread
left. Prints the accepted share and the parsers' line coverage. `--write-seeds` writes the valid
files anew to tests/data/cosi.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.api.errors import TridentError
from agent.cosi import gpt, metadata, metadata_model, pe, reader, tar
from agent.cosi.closing import Closing
from agent.cosi.source import RangeReader
from agent.cosi.stream import check_image, read_image
from tests.fuzz import cosi_inputs
from tests.fuzz.lines import Lines, measured
from tests.fuzz.mutate import Outcome, campaign

LIMIT_S = 5.0
NEEDED_COVERAGE = 0.9
_PARSERS = (tar, reader, metadata, metadata_model, gpt, pe)


class MemorySource(Closing):
    """A source over bytes."""

    url = "memory:image.cosi"

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size
        return bytes(self._data[offset : offset + length])

    @contextmanager
    def open_range(self, offset: int, length: int) -> Iterator[RangeReader]:
        assert 0 <= offset <= offset + length <= self.size
        yield _MemoryRange(self._data[offset : offset + length])

    def close(self) -> None:
        """Nothing to close."""


class _MemoryRange:
    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def cancel(self) -> None:
        """Never waits."""


def accepts(data: bytes) -> bool:
    """Whether everything in the file is taken for good."""
    try:
        image = reader.open_image(MemorySource(data), None)
        assert reader.end_of_members(image.source) < image.source.size
        for file in {file.path: file for file in reader.image_files(image.metadata)}.values():
            check_image(image, file)
        disk = image.metadata.disk
        if disk is not None and disk.gpt_regions:
            _read_table(read_image(image, disk.gpt_regions[0].image), disk.size)
    except TridentError:
        return False
    finally:
        assert threading.active_count() == 1
    return True


def _read_table(data: bytes, disk_size: int) -> None:
    needed = gpt.needed_bytes(data[:8192])
    table = gpt.parse(data, disk_size)
    assert table.entries_end == needed
    for entry in table.partitions:
        assert 0 < table.offset(entry) < table.offset(entry) + table.size(entry) <= disk_size
    start, backup = gpt.backup(data, table)
    assert table.last_usable_lba * table.lba_size < start
    assert start + len(backup) == (table.alternate_lba + 1) * table.lba_size <= disk_size


def accepts_uki(data: bytes) -> bool:
    try:
        pe.parse_uki(data)
        pe.is_signed(data)
    except TridentError:
        return False
    return True


def run(count: int, number: int, keep: Path) -> tuple[Outcome, Outcome, Lines]:
    """Campaigns of `count` COSI files and a tenth as many UKIs that follow from `number`."""
    seeds = [file.read_bytes() for file in sorted(cosi_inputs.FOLDER.glob("*.cosi"))]
    with measured(*_PARSERS) as lines:
        files = cosi_inputs.mutants(seeds, number)
        cosi = campaign(files, accepts, count, limit_s=LIMIT_S, keep=keep)
        ukis = cosi_inputs.uki_mutants(number)
        uki = campaign(ukis, accepts_uki, count // 10, limit_s=LIMIT_S, keep=keep)
    return cosi, uki, lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-cosi.bin"))
    parser.add_argument("--write-seeds", action="store_true")
    arguments = parser.parse_args()
    if arguments.write_seeds:
        for name, data in cosi_inputs.valid_files().items():
            (cosi_inputs.FOLDER / name).write_bytes(data)
        return 0
    cosi, uki, lines = run(arguments.count, arguments.seed, arguments.keep)
    print(cosi.line("cosi"))
    print(uki.line("uki"))
    print(f"cosi: {lines.line()}")
    return 0 if lines.share >= NEEDED_COVERAGE else 1


if __name__ == "__main__":
    raise SystemExit(main())
