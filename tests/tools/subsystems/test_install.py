"""Storage and boot do a whole clean install on a spare disk, with real tools and firmware."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.api import load
from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.cosi import reader
from agent.cosi.source import open_source
from agent.engine import newroot, plan
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.plan import Plan
from agent.engine.subsystem import Phase
from agent.linux import block, bootvars, efibootmgr, efivars, gpt, mounts, probe
from agent.subsystems.boot.subsystem import BootSubsystem
from agent.subsystems.storage.subsystem import StorageSubsystem
from tests.tools.subsystems import sample_image

pytestmark = pytest.mark.toolbox

CONFIGURATION = """
storage:
  disks:
  - id: os
    device: {disk}
    partitionTableType: gpt
    partitions:
    - {{id: esp, type: esp, size: {esp}}}
    - {{id: root-a, type: root, size: 256M}}
    - {{id: root-b, type: root, size: 256M}}
    - {{id: swap, type: swap, size: 64M}}
    - {{id: trident, size: 64M}}
    - {{id: srv, size: grow}}
  abUpdate:
    volumePairs:
    - {{id: root, volumeAId: root-a, volumeBId: root-b}}
  filesystems:
  - {{deviceId: esp, mountPoint: {{path: /boot/efi, options: umask=0077}}}}
  - {{deviceId: root, mountPoint: /}}
  - {{deviceId: trident, source: new, type: ext4, mountPoint: /var/lib/trident}}
  - {{deviceId: srv, source: new, type: xfs, mountPoint: /srv}}
  swap: [swap]
image: {{url: "file://{image}", sha384: ignored}}
"""


class Silent:
    """A Reporter that keeps the names of the steps that were done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def step_started(self, step: str, message: str) -> None: ...

    def step_progress(self, step: str, done_bytes: int, total_bytes: int) -> None: ...

    def step_done(self, step: str, duration_s: float) -> None:
        self.done.append(step)

    def step_failed(self, step: str, duration_s: float) -> None: ...


@pytest.fixture
def disk() -> Path:
    return Path(os.environ["TRIDENT_TEST_DISK"])


@pytest.fixture
def clean_firmware() -> Iterator[None]:
    before = {entry.number for entry in bootvars.read().entries}
    order = bootvars.read().order
    yield
    for entry in bootvars.read().entries:
        if entry.number not in before:
            efibootmgr.delete(entry.number)
    efibootmgr.set_order(order)
    efivars.delete("LoaderEntryDefault", efivars.LOADER_GUID)


@pytest.fixture(scope="module")
def grub_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_image.build(tmp_path_factory.mktemp("grub"), sample_image.GRUB_ESP, uki=False)


@pytest.fixture(scope="module")
def uki_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_image.build(tmp_path_factory.mktemp("uki"), sample_image.UKI_ESP, uki=True)


@dataclass
class Workshop:
    """Makes the contexts of one test, each with a newroot of its own."""

    directory: Path
    disk: Path
    stack: ExitStack

    def context(self, image: Path, *, esp: str = "64M") -> Context:
        text = CONFIGURATION.format(disk=self.disk, image=image, esp=esp)
        source = self.stack.enter_context(open_source(f"file://{image}"))
        return Context(
            load.load(text),
            ServicingType.CLEAN_INSTALL,
            image=reader.open_image(source, None),
            newroot=Path(tempfile.mkdtemp(dir=self.directory)),
        )


@pytest.fixture
def workshop(tmp_path: Path, disk: Path) -> Iterator[Workshop]:
    with ExitStack() as stack:
        yield Workshop(tmp_path, disk, stack)


def planned(context: Context) -> Plan:
    subsystems = (StorageSubsystem(), BootSubsystem())
    for subsystem in subsystems:
        subsystem.validate(context)
    return plan.build("install", subsystems, context, stage=True, finalize=True)


def install(context: Context, install_plan: Plan) -> list[str]:
    reporter = Silent()
    execute(install_plan.phase(Phase.PREPARE), context, reporter)
    execute(install_plan.phase(Phase.CREATE), context, reporter)
    with newroot.mounted(context):
        for phase in (Phase.PROVISION, Phase.CONFIGURE, Phase.FINALIZE):
            execute(install_plan.phase(phase), context, reporter)
    return reporter.done


def partition(context: Context) -> None:
    """Only the partitions, and the file system on one of them."""
    wanted = ("storage/partitions/os", "storage/filesystem/srv")
    steps = [step for step in planned(context).steps if step.name in wanted]
    execute(steps, context, Silent())


def test_a_grub_image_is_installed_and_the_firmware_boots_it_next(
    workshop: Workshop, disk: Path, grub_image: Path, clean_firmware: None
) -> None:
    context = workshop.context(grub_image)
    install_plan = planned(context)
    assert f"destroy {disk} (" in install_plan.to_text()
    done = install(context, install_plan)
    assert done[:2] == ["boot/variables", "boot/rehearsal"]
    assert done[-2:] == ["boot/entries", "boot/fallback"]

    table = gpt.read(disk)
    assert [entry.label for entry in table.partitions] == [
        "esp", "root-a", "root-b", "swap", "trident", "srv",
    ]  # fmt: skip
    assert str(context.facts.disk_uuids["os"]) == table.id
    root_a, root_b = (context.facts.partition_paths[name] for name in ("root-a", "root-b"))
    assert probe.signature(root_a).uuid == sample_image.ROOT_UUID
    assert probe.signature(root_b).filesystem is None
    assert probe.signature(context.facts.partition_paths["swap"]).filesystem == "swap"
    assert probe.signature(context.facts.partition_paths["srv"]).filesystem == "xfs"

    with newroot.mounted(context) as root:
        size = os.statvfs(root)
        assert size.f_blocks * size.f_frsize > 200 << 20, "the root was grown to its partition"
        fstab = (root / "etc/fstab").read_text().splitlines()
        assert fstab[1] == f"{root_a} / ext4 defaults 0 1"
        assert fstab[2].endswith(" /boot/efi vfat umask=0077 0 2")
        assert fstab[-1] == f"{context.facts.partition_paths['swap']} none swap sw 0 0"
        esp = root / "boot/efi"
        for directory in ("EFI/AZLA", "EFI/BOOT"):
            assert {file.name for file in (esp / directory).iterdir()} == {
                "bootx64.efi", "grubx64.efi", "grub.cfg",
            }  # fmt: skip
            config = (esp / directory / "grub.cfg").read_text()
            assert f"--set=root {sample_image.ROOT_UUID}\n" in config
        assert list((root / "var/tmp").iterdir()) == []

    state = bootvars.read()
    (entry,) = state.labelled("AZLA")
    assert entry.loader == "\\EFI\\AZLA\\bootx64.efi"
    assert entry.partition_uuid == context.facts.partition_paths["esp"].name
    assert (state.next, state.order[0]) == (entry.number, entry.number)


def test_installing_again_replaces_the_entry_and_the_disk(
    workshop: Workshop, grub_image: Path, uki_image: Path, clean_firmware: None
) -> None:
    first = workshop.context(grub_image)
    install(first, planned(first))
    second = workshop.context(uki_image)
    install(second, planned(second))
    state = bootvars.read()
    (entry,) = state.labelled("AZLA")
    assert entry.partition_uuid == second.facts.partition_paths["esp"].name
    assert state.order.count(entry.number) == 1
    assert first.facts.disk_uuids != second.facts.disk_uuids


def test_a_uki_gets_its_name_and_becomes_the_default(
    workshop: Workshop, uki_image: Path, clean_firmware: None
) -> None:
    context = workshop.context(uki_image)
    install(context, planned(context))
    with newroot.mounted(context) as root:
        esp = root / "boot/efi"
        linux = esp / "EFI/Linux"
        uki = linux / "vmlinuz-100-azla0.efi"
        assert uki.read_bytes() == sample_image.UKI_ESP["EFI/Linux/sample-1.efi"]
        assert (linux / "vmlinuz-100-azla0.efi.extra.d/site.addon.efi").is_file()
        assert len(list(linux.iterdir())) == 2
        assert (esp / "loader/entries.srel").read_bytes() == b"type1\n"
        assert (esp / "EFI/BOOT/bootx64.efi").is_file()
    assert efivars.read_loader_string("LoaderEntryDefault") == "vmlinuz-100-azla0.efi"


def test_a_disk_in_use_is_refused_and_keeps_its_table(
    tmp_path: Path, workshop: Workshop, disk: Path, grub_image: Path
) -> None:
    """F18."""
    context = workshop.context(grub_image)
    partition(context)
    before = gpt.read(disk)
    with (
        mounts.mounted(context.facts.partition_paths["srv"], tmp_path / "busy"),
        pytest.raises(TridentError, match=f"is mounted on {tmp_path}/busy") as caught,
    ):
        planned(context)
    assert caught.value.fields["inner"] == "disk-in-use"
    assert gpt.read(disk) == before


def test_a_disk_that_is_mounted_after_the_check_is_refused_just_before_the_write(
    tmp_path: Path, workshop: Workshop, disk: Path, grub_image: Path
) -> None:
    context = workshop.context(grub_image)
    partition(context)
    before = gpt.read(disk)
    again = planned(context)
    with (
        mounts.mounted(context.facts.partition_paths["srv"], tmp_path / "busy"),
        pytest.raises(TridentError, match="is in use"),
    ):
        execute(again.phase(Phase.CREATE), context, Silent())
    assert gpt.read(disk) == before


def test_a_disk_with_another_table_than_the_checked_one_is_refused(
    tmp_path: Path, workshop: Workshop, disk: Path, grub_image: Path
) -> None:
    context = workshop.context(grub_image)
    stale = planned(context)
    partition(context)
    before = gpt.read(disk)
    with pytest.raises(TridentError, match="no longer the disk that was checked: table uuid was"):
        execute(stale.phase(Phase.CREATE), context, Silent())
    assert gpt.read(disk) == before


def test_an_esp_that_is_too_small_is_refused_and_no_entry_is_made(
    workshop: Workshop, disk: Path, uki_image: Path, clean_firmware: None
) -> None:
    context = workshop.context(uki_image, esp="1M")
    before = bootvars.read()
    table_before = probe.signature(disk).table_uuid
    with pytest.raises(TridentError, match="the EFI system partition is too small") as caught:
        install(context, planned(context))
    assert int(caught.value.fields["neededBytes"]) > int(caught.value.fields["availableBytes"])
    assert bootvars.read() == before
    assert probe.signature(disk).table_uuid == table_before, "the disk was not touched"


def test_an_esp_without_room_for_both_copies_keeps_the_boot_entries(
    workshop: Workshop, uki_image: Path, clean_firmware: None
) -> None:
    """F14."""
    context = workshop.context(uki_image, esp="1220K")
    before = bootvars.read()
    with pytest.raises(TridentError, match="the EFI system partition is too full"):
        install(context, planned(context))
    assert bootvars.read() == before
    with newroot.mounted(context) as root:
        assert [path for path in (root / "boot/efi").rglob("*") if path.is_file()] == []
        assert list((root / "var/tmp").iterdir()) == []


def test_the_serial_of_a_disk_is_part_of_its_identity(disk: Path) -> None:
    assert block.inspect(disk).serial is not None
    assert block.sequence(disk) is not None
