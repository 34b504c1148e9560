"""From a scenario to a session: images, rack, boot server and machines, ready and still off."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab import (
    artifacts,
    certificates,
    disks,
    extensions,
    firmware,
    lock,
    media,
    neighbours,
    network,
    paths,
    qemu,
    scenario,
    server,
)
from lab.errors import LabError
from lab.machine import Machine, plugged_in
from lab.network import Rack
from lab.session import Bench, Narrator, Session

_UUIDS = uuid.UUID("6f7d3c1e-5f0b-4e55-9f0e-2a1d7c0e77ab")


@contextmanager
def session(
    wanted: scenario.Scenario, folder: Path, narrator: Narrator, *, limit_s: float | None = None
) -> Iterator[Session]:
    """Everything a scenario needs, in `folder` (emptied first); taken down after the block.

    Holds the machine-wide VM lock. Needs root. Raises LabError, TridentError.
    """
    narrator.say("images: built, or taken from the cache")
    shutil.rmtree(folder, ignore_errors=True)
    files, state, sources = folder / "files", folder / "state", folder / "images"
    for each in (folder, files, state, sources):
        each.mkdir(parents=True)
    live = artifacts.live(sources)
    images = {name: artifacts.os_image(image, sources) for name, image in wanted.images.items()}
    built = {
        name: extensions.build(spec, files / f"{name}.raw")
        for name, spec in wanted.extensions.items()
    }
    served = any(media.from_server(spec) for spec in wanted.machines)
    configuration = server.settings(
        live,
        files,
        state,
        dhcp=wanted.server.dhcp,
        loader=wanted.server.loader,
        more={**wanted.server.settings, **_medium(folder, served=served)},
    )
    with ExitStack() as stack:
        stack.enter_context(lock.virtual_machines())
        rack = stack.enter_context(network.rack())
        if wanted.server.foreign_dhcp:
            stack.enter_context(neighbours.foreign_dhcp(rack, folder))
        mirror = wanted.server.mirror
        authority = None
        if mirror is not None:
            if mirror.tls:
                authority = certificates.authority(folder, neighbours.MIRROR_ADDRESS)
            stack.enter_context(
                neighbours.mirror(rack, folder, files, ranges=mirror.ranges, tls=authority)
            )
        boot_server = stack.enter_context(server.installed(rack, folder, configuration))
        benches = {
            spec.name: _bench(stack, rack, number, spec, folder, images)
            for number, spec in enumerate(wanted.machines)
        }
        run = Session(
            wanted=wanted,
            rack=rack,
            server=boot_server,
            benches=benches,
            images=images,
            extensions=built,
            files=files,
            snapshots=_snapshots(),
            narrator=narrator,
            deadline=time.monotonic() + (limit_s or wanted.limit_seconds),
            mirror_authority=authority,
        )
        for name in images:
            run.serve(name)
        for name, bench in benches.items():
            media.create(run, bench, folder / name)
        boot_server.start()
        _declare_all(run)
        _hash_disks(run)
        yield run


def _medium(folder: Path, *, served: bool) -> dict[str, str]:
    return {"medium": str(media.base(folder))} if served else {}


def _declare_all(run: Session) -> None:
    for bench in run.benches.values():
        spec = bench.spec
        if spec.declared_by is scenario.DeclaredBy.NOTHING:
            continue
        configuration = run.host_configuration(spec, spec.host_configuration)
        if spec.declared_by is scenario.DeclaredBy.FILE:
            run.server.declare_in_file(spec.mac, spec.name, configuration)
            continue
        refusal = run.declare(bench, configuration)
        if refusal is not None:
            raise LabError(f"the boot server refused {spec.name}'s Host Configuration: {refusal}")


def _hash_disks(run: Session) -> None:
    for part in (*run.wanted.steps, *run.wanted.expect):
        if isinstance(part.value, scenario.CheckDisk):
            bench, serial = run.bench(part.value.machine), part.value.serial
            bench.initial_sha384[serial] = disks.sha384(bench.disk(serial).image)


def _bench(
    stack: ExitStack,
    rack: Rack,
    number: int,
    spec: scenario.Machine,
    folder: Path,
    images: Mapping[str, artifacts.OsImage],
) -> Bench:
    home = folder / spec.name
    home.mkdir()
    os_disk = images["image"].raw if "image" in images else None
    hardware = qemu.Hardware(
        name=spec.name,
        uuid=str(uuid.uuid5(_UUIDS, spec.mac)),
        firmware=spec.firmware,
        memory_mib=spec.memory_mib,
        cpus=spec.cpus,
        disks=(
            *(disks.create(disk, home, os_disk, _snapshots()) for disk in spec.disks),
            *media.stick(spec.medium, home),
        ),
        nics=(qemu.Nic(spec.mac, f"tap{number}", spec.nic),) if spec.nics else (),
        medium=media.inserted(spec, home),
        boot_first=spec.boot_first,
        netboot_http=spec.netboot is scenario.Netboot.HTTP,
        caching=spec.caching,
    )
    machine = stack.enter_context(plugged_in(hardware, home, rack, with_tpm=spec.tpm))
    _prepare_nvram(machine, spec)
    return Bench(spec, machine)


def _prepare_nvram(machine: Machine, spec: scenario.Machine) -> None:
    kept = [disk.snapshot for disk in spec.disks if disk.snapshot is not None]
    if kept:
        shutil.copyfile(_snapshots() / kept[0] / "nvram.fd", machine.nvram_path)
    if spec.boot_uri is not None:
        firmware.set_boot_uri(machine.nvram_path, spec.boot_uri)


def _snapshots() -> Path:
    return paths.build("vm/snapshots")
