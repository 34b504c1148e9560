"""The toolbox VM: pytest in a guest whose kernel has what the host's lacks.

md, dm, partitions and EFI variables: the servicing image's kernel and root file system start
under UEFI, with the checkout and the test packages on a read-only disk and spare disks beside.
`TRIDENT_TEST_DISK` names the first spare disk, `TRIDENT_TEST_DISKS` all of them (colons between).
Results come back on a disk of their own: a tar of `junit.xml`, `pytest.log` and `status`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sysconfig
import tarfile
from collections.abc import Sequence
from pathlib import Path

from agent.linux.run import run as run_command
from lab import artifacts, lock, neighbours, network, paths, qemu
from lab.errors import ScenarioFailed
from lab.machine import plugged_in
from lab.session import Narrator

DEFAULT_ARGUMENTS = ("-q", "-m", "toolbox", "tests/tools")
START_LIMIT_S = 300.0
TEST_LIMIT_S = 1800.0
_MAC = "52:54:00:77:00:7b"
_SPARES = tuple(f"SPARE{number}" for number in range(4))
_SPARE_BYTES = 8 << 30
_RESULT_BYTES = 64 << 20
_SHARED = ("agent", "bootserver", "installer", "iso_builder", "lab", "tests", "pyproject.toml")

_SCRIPT = """
set -e
mkdir -p /run/checkout /run/results
mount -o ro {by_id}PAYLOAD /run/checkout
udevadm settle
cd /run/checkout
disks=
for serial in {spares}; do disks=$disks:$(readlink -f {by_id}$serial); done
disks=${{disks#:}}
export REQUIRE_TOOLS=1 TRIDENT_TEST_DISK=${{disks%%:*}} TRIDENT_TEST_DISKS=$disks
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/run/checkout:/run/checkout/site-packages
export HYPOTHESIS_STORAGE_DIRECTORY=/run/hypothesis
set +e
{{ python3 -m pytest -p no:cacheprovider --junitxml=/run/results/junit.xml {arguments} 2>&1
   echo $? >/run/results/status
}} | tee /run/results/pytest.log >/dev/ttyS0
tar -cf {by_id}RESULTS -C /run/results .
sync
"""


def run(arguments: Sequence[str]) -> int:
    """Run pytest in the toolbox; its exit status. Needs root. Raises LabError."""
    narrator = Narrator()
    narrator.say("toolbox: images, built or taken from the cache")
    folder = paths.build("lab/toolbox")
    shutil.rmtree(folder)
    folder.mkdir()
    live = artifacts.live(folder)
    hardware = _hardware(live, folder)
    with (
        lock.virtual_machines(),
        network.rack() as rack,
        neighbours.foreign_dhcp(rack, folder),
        neighbours.mirror(rack, folder, live),
        plugged_in(hardware, folder, rack) as machine,
    ):
        machine.power_on()
        narrator.say("toolbox: starting")
        machine.console.wait_for_shell(START_LIMIT_S)
        narrator.say(f"toolbox: pytest {shlex.join(arguments)}")
        answer = machine.console.run(_script(arguments), limit_s=TEST_LIMIT_S)
        machine.console.raise_crash()
        if answer.status != 0:
            raise ScenarioFailed(f"the toolbox could not run pytest: {answer.output[-2000:]}")
    return _results(folder, narrator)


def _hardware(live: Path, folder: Path) -> qemu.Hardware:
    digest = hashlib.sha384((live / "rootfs.squashfs").read_bytes()).hexdigest()
    words = [
        "console=ttyS0,115200n8",
        f"trident.rootfs={neighbours.mirror_url()}/rootfs.squashfs",
        f"trident.rootfs.sha384={digest}",
        f"BOOTIF=01-{_MAC.replace(':', '-')}",
        "trident.toolbox",
    ]
    return qemu.Hardware(
        name="toolbox",
        uuid="6f7d3c1e-5f0b-4e55-9f0e-00000000007b",
        memory_mib=3072,
        disks=(
            qemu.Disk(_payload(folder), "PAYLOAD", read_only=True),
            qemu.Disk(_sparse(folder / "results.raw", _RESULT_BYTES), "RESULTS"),
            *(qemu.Disk(_sparse(folder / name, _SPARE_BYTES), name) for name in _SPARES),
        ),
        nics=(qemu.Nic(_MAC, "tap0"),),
        direct_kernel=qemu.DirectKernel(live / "vmlinuz", live / "initrd.img", " ".join(words)),
    )


def _payload(folder: Path) -> Path:
    """A squashfs of the checkout and of the packages that run its tests."""
    packages = sysconfig.get_path("purelib")
    checkout = paths.checkout()
    shared = [str(checkout / name) for name in _SHARED]
    image = folder / "payload.squashfs"
    run_command(
        [
            "mksquashfs", *shared, packages, str(image),
            "-comp", "zstd", "-Xcompression-level", "1",
            "-no-progress", "-quiet", "-wildcards", "-e", "... __pycache__",
        ],
        timeout_s=300,
    )  # fmt: skip
    return image


def _sparse(path: Path, size_bytes: int) -> Path:
    path.touch()
    os.truncate(path, size_bytes)
    return path


def _script(arguments: Sequence[str]) -> str:
    return _SCRIPT.format(
        by_id="/dev/disk/by-id/virtio-", spares=" ".join(_SPARES), arguments=shlex.join(arguments)
    )


def _results(folder: Path, narrator: Narrator) -> int:
    with tarfile.open(folder / "results.raw") as archive:
        archive.extractall(folder / "results", filter="data")
    status = int((folder / "results" / "status").read_text())
    for line in (folder / "results" / "pytest.log").read_text(errors="replace").splitlines()[-15:]:
        narrator.say(f"toolbox: {line}")
    for name in _SPARES:
        (folder / name).unlink()
    shutil.rmtree(folder / "live")
    return status
