"""Which accelerator QEMU gets: KVM only where a tiny guest really ran, else multi-threaded TCG.

A `/dev/kvm` that opens is no proof: nested hosts exist on which guests hang.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from agent.linux.run import spawn
from lab import paths, waiting
from lab.errors import ScenarioFailed

TCG = "tcg,thread=multi"
KVM = "kvm"
_PROBE_LIMIT_S = 2.0
"""TCG needs 0.2 s; a KVM that emulates its host's instructions one by one needs several."""

# mov dx,0x3f8; mov al,'K'; out dx,al; cli; hlt: a boot sector that prints K on the serial line.
_PRINT_K = bytes.fromhex("baf803b04beefaf4")
_BOOT_SECTOR = _PRINT_K.ljust(510, b"\0") + b"\x55\xaa"


def accelerator() -> str:
    """QEMU's `-accel` value. The probe's answer is kept until the host reboots."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = paths.cache("kvm-probe") / boot_id
    if not note.exists():
        note.write_text(KVM if Path("/dev/kvm").exists() and runs(KVM) else TCG)
    return note.read_text()


def runs(accel: str) -> bool:
    """Whether a guest of one boot sector gets to print its letter under this accelerator."""
    with TemporaryDirectory(prefix="trident-lab-probe-") as folder:
        disk, serial = Path(folder, "disk"), Path(folder, "serial")
        disk.write_bytes(_BOOT_SECTOR)
        argv = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", accel,
            "-cpu", "host" if accel == KVM else "max", "-smp", "2", "-m", "64",
            "-display", "none", "-nodefaults",
            "-drive", f"if=ide,format=raw,file={disk}", "-serial", f"file:{serial}",
        ]  # fmt: skip
        with spawn(argv, log=Path(folder, "qemu.log")) as qemu:
            try:
                waiting.until(
                    lambda: _printed(serial) or (qemu.poll() is not None) or None,
                    limit_s=_PROBE_LIMIT_S,
                    what="a guest's first letter",
                    poll_s=0.05,
                )
            except ScenarioFailed:
                return False
        return _printed(serial)


def _printed(serial: Path) -> bool:
    return serial.exists() and b"K" in serial.read_bytes()
