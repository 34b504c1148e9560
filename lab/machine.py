"""A virtual machine in a rack: power on, off, cut and reset; its console and its NVRAM.

Its folder keeps disks, NVRAM, TPM state and the serial log over power cycles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory

from agent.linux.run import Process, spawn
from lab import accel, firmware, qemu, tpm, waiting
from lab.console import Console
from lab.errors import InfrastructureFailed
from lab.firmware import Firmware, Nvram
from lab.network import Rack
from lab.qmp import Qmp
from lab.serial import SerialLine

_START_LIMIT_S = 20.0
_POWERDOWN_LIMIT_S = 90.0


class Machine:
    """One machine over its whole life. Made by `plugged_in`."""

    def __init__(
        self, hardware: qemu.Hardware, folder: Path, sockets: Path, rack: Rack, *, with_tpm: bool
    ) -> None:
        self.hardware = hardware
        self.folder = folder
        self.console = Console(SerialLine(sockets / "serial", folder / "serial.log"))
        self.power_on_offset = 0
        """Size of the serial log when the machine was last powered on."""
        self.power_ons = 0
        self._rack = rack
        self._sockets = sockets
        self._with_tpm = with_tpm
        self._power: ExitStack | None = None
        self._process: Process | None = None

    @property
    def nvram_path(self) -> Path:
        return self.folder / "nvram.fd"

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def power_on(self, boot_first: qemu.BootFirst | None = None) -> None:
        """Start the machine. Raises InfrastructureFailed when QEMU does not come up."""
        if self.is_on:
            raise InfrastructureFailed(f"machine {self.hardware.name} is on already")
        self.power_cut()
        hardware = self.hardware
        if boot_first is not None:
            hardware = dataclasses.replace(hardware, boot_first=boot_first)
        with ExitStack() as stack:
            tpm_arguments: tuple[str, ...] = ()
            if self._with_tpm:
                control = stack.enter_context(tpm.emulator(self.folder / "tpm"))
                tpm_arguments = tuple(tpm.qemu_arguments(control))
            for path in self._sockets.glob("*.sock"):
                path.unlink()
            argv = qemu.command_line(hardware, self._wiring(tpm_arguments), accel.accelerator())
            self.power_on_offset = self.console.size()
            self.console.line.open()
            stack.callback(self.console.line.close)
            log = self.folder / "qemu.log"
            process = stack.enter_context(spawn(self._rack.inside(argv), log=log))
            self._process = process
            waiting.until(
                lambda: self._answers(process), limit_s=_START_LIMIT_S, what="QEMU to start"
            )
            self.power_ons += 1
            self._power = stack.pop_all()

    def power_cut(self) -> None:
        """Pull the plug: the guest gets no notice. Nothing happens when it is off."""
        if self._process is not None:
            self._process.signal(SIGKILL)
            self._process.wait(_START_LIMIT_S)
            self._process = None
        if self._power is not None:
            self._power.close()
            self._power = None

    def power_down(self, limit_s: float = _POWERDOWN_LIMIT_S) -> None:
        """Press the power button and wait until the guest has shut down."""
        if not self.is_on:
            return
        with self.qmp() as qmp:
            qmp.execute("system_powerdown")
        waiting.until(lambda: not self.is_on, limit_s=limit_s, what="the guest to shut down")
        self.power_cut()

    def reset(self) -> None:
        """Press the reset button."""
        with self.qmp() as qmp:
            qmp.execute("system_reset")

    def qmp(self) -> Qmp:
        """A new connection to QEMU's control socket."""
        return Qmp(self._sockets / "qmp.sock")

    def nvram(self) -> Nvram | None:
        """The boot variables as in the NVRAM file; None under BIOS. Settled only when off."""
        if self.hardware.firmware is Firmware.BIOS:
            return None
        return firmware.read_nvram(self.nvram_path)

    def _answers(self, process: Process) -> bool:
        if process.poll() is not None:
            said = process.log.read_text(encoding="utf-8", errors="replace")[-1024:].strip()
            raise InfrastructureFailed(f"QEMU ended at once: {said}")
        return (self._sockets / "qmp.sock").exists()

    def _wiring(self, tpm_arguments: tuple[str, ...]) -> qemu.Wiring:
        return qemu.Wiring(
            nvram=self.nvram_path,
            serial_pipes=self.console.line.base,
            qmp_socket=self._sockets / "qmp.sock",
            tpm_arguments=tpm_arguments,
        )


@contextmanager
def plugged_in(
    hardware: qemu.Hardware, folder: Path, rack: Rack, *, with_tpm: bool = False
) -> Iterator[Machine]:
    """A machine (still off) with its taps in the rack; off and unplugged after the block.

    Makes the NVRAM copy in `folder` unless it is there. Needs root.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        sockets = stack.enter_context(TemporaryDirectory(prefix="trident-lab-"))
        for nic in hardware.nics:
            rack.add_tap(nic.tap)
            stack.callback(rack.remove_tap, nic.tap)
        machine = Machine(hardware, folder, Path(sockets), rack, with_tpm=with_tpm)
        if not machine.nvram_path.exists():
            firmware.create_nvram(hardware.firmware, machine.nvram_path)
        stack.callback(machine.power_cut)
        yield machine
