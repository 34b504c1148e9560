"""The side that an update writes, on loop devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.cosi.metadata import CosiMetadata
from agent.engine.context import Context, Facts
from agent.linux import loop, mkfs, mounts
from agent.subsystems.storage import image_match, inactive
from tests.unit.subsystems.storage.samples import configuration, metadata

pytestmark = pytest.mark.tools

MIB = 1 << 20
NAMES = ("esp", "root-a", "root-b", "swap", "trident", "srv")


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    facts = Facts()
    with ExitStack() as stack:
        for name in NAMES:
            image = tmp_path / f"{name}.img"
            with image.open("wb") as stream:
                stream.truncate(64 * MIB)
            facts.partition_paths[name] = stack.enter_context(loop.attached(image))
        status = HostStatus(ab_active_volume=AbVolume.A)
        yield Context(configuration(), ServicingType.AB_UPDATE, status, facts=facts)


def sizes(context: Context, image: CosiMetadata | None = None) -> dict[str, int]:
    matches = image_match.match(context.configuration, image or metadata())
    return inactive.checked_sizes(context, matches)


def test_only_pairs_are_written_and_as_large_as_they_are(context: Context) -> None:
    assert sizes(context) == {"root": 64 * MIB}


def test_a_side_that_somebody_mounted_is_not_overwritten(context: Context, tmp_path: Path) -> None:
    """F18."""
    device = context.facts.partition_paths["root-b"]
    mkfs.make("ext4", device)
    with (
        mounts.mounted(device, tmp_path / "mnt"),
        pytest.raises(TridentError, match="'root' is to be overwritten but in use") as caught,
    ):
        sizes(context)
    assert str(tmp_path / "mnt") in caught.value.message
    assert sizes(context)


def test_a_mounted_running_side_does_not_matter(context: Context, tmp_path: Path) -> None:
    device = context.facts.partition_paths["root-a"]
    mkfs.make("ext4", device)
    with mounts.mounted(device, tmp_path / "mnt"):
        assert sizes(context)


def test_partitions_that_are_gone_are_named(context: Context) -> None:
    context.facts.partition_paths["srv"] = Path("/dev/disk/by-partuuid/no-such-partition")
    with pytest.raises(TridentError, match="partitions of this installation are gone: 'srv'"):
        sizes(context)
