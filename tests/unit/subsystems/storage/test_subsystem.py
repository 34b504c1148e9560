"""What the storage subsystem plans, and the fstab it renders, from a configuration and an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.api.status import AbVolume, HostStatus, ServicingType
from agent.cosi import reader
from agent.cosi.source import FileSource
from agent.engine.context import Context, Facts
from agent.engine.subsystem import Phase, Step, Verb
from agent.subsystems.storage.subsystem import StorageSubsystem
from tests.unit.cosi import images
from tests.unit.subsystems.storage.samples import configuration

IDS = ("esp", "root-a", "root-b", "swap", "trident", "srv")


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    file = tmp_path / "image.cosi"
    pieces = images.sample_pieces()
    document = json.dumps(images.metadata_of(pieces)).encode()
    members = [(reader.MARKER, b""), (reader.METADATA, document)]
    file.write_bytes(images.archive(members + [(item.path, item.packed) for item in pieces]))
    return FileSource(file)


def context(source: FileSource, root: Path, servicing: ServicingType) -> Context:
    facts = Facts(partition_paths={name: Path(f"/dev/disk/by-partuuid/{name}") for name in IDS})
    active = AbVolume.A if servicing is ServicingType.AB_UPDATE else None
    return Context(
        configuration(),
        servicing,
        old_status=HostStatus(ab_active_volume=active),
        image=reader.open_image(source, None),
        newroot=root,
        facts=facts,
    )


def verbs(step: Step) -> list[tuple[Verb, str]]:
    return [(effect.verb, effect.target) for effect in step.effects]


def test_an_update_writes_the_other_side_and_says_that_it_is_lost(
    source: FileSource, tmp_path: Path
) -> None:
    with source:
        given = context(source, tmp_path, ServicingType.AB_UPDATE)
        steps = StorageSubsystem().stage(given)
        tools = StorageSubsystem().tools(given)
    assert [step.name for step in steps] == ["storage/image/root-b", "storage/fstab"]
    assert verbs(steps[0]) == [
        (Verb.FETCH, "images/root.rawzst"),
        (Verb.DESTROY, "root-b"),
    ]
    assert steps[0].effects[1].size_bytes == 60_000
    assert "systemd-repart" not in tools
    assert "resize2fs" in tools


def test_an_install_needs_the_tools_of_what_it_makes(source: FileSource, tmp_path: Path) -> None:
    with source:
        tools = StorageSubsystem().tools(context(source, tmp_path, ServicingType.CLEAN_INSTALL))
    assert {"systemd-repart", "mkfs.ext4", "mkfs.xfs", "mkfs.vfat", "mkswap"} <= set(tools)
    assert "mkfs.ntfs" not in tools


def test_a_runtime_update_leaves_storage_alone(source: FileSource, tmp_path: Path) -> None:
    with source:
        given = context(source, tmp_path, ServicingType.RUNTIME_UPDATE)
        assert StorageSubsystem().stage(given) == ()


@pytest.mark.parametrize(
    ("servicing", "side"),
    [(ServicingType.CLEAN_INSTALL, "root-a"), (ServicingType.AB_UPDATE, "root-b")],
)
def test_fstab_names_the_side_that_is_written(
    source: FileSource, tmp_path: Path, servicing: ServicingType, side: str
) -> None:
    (tmp_path / "etc").mkdir()
    with source:
        given = context(source, tmp_path, servicing)
        (step,) = [s for s in StorageSubsystem().stage(given) if s.phase is Phase.CONFIGURE]
        step.run(given)
    assert (tmp_path / "etc/fstab").read_text().splitlines()[1:] == [
        f"/dev/disk/by-partuuid/{side} / ext4 defaults 0 1",
        "/dev/disk/by-partuuid/esp /boot/efi vfat umask=0077 0 2",
        "tmpfs /scratch tmpfs size=1M 0 0",
        "/dev/disk/by-partuuid/trident /var/lib/trident ext4 defaults 0 2",
        "/dev/disk/by-partuuid/swap none swap sw 0 0",
    ]
