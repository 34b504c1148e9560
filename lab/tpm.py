"""A software TPM 2.0 (swtpm) for a virtual machine. Its state lives in the machine's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.linux.run import spawn
from lab import waiting

_START_LIMIT_S = 10.0


@contextmanager
def emulator(folder: Path) -> Iterator[Path]:
    """Run a TPM whose state is kept in `folder`; yields its control socket. Needs swtpm."""
    folder.mkdir(parents=True, exist_ok=True)
    control = folder / "control.sock"
    control.unlink(missing_ok=True)
    argv = [
        "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}",
        "--ctrl", f"type=unixio,path={control}", "--flags", "startup-clear", "--terminate",
    ]  # fmt: skip
    with spawn(argv, log=folder / "swtpm.log"):
        waiting.until(
            lambda: control.exists(), limit_s=_START_LIMIT_S, what="the TPM emulator's socket"
        )
        yield control


def qemu_arguments(control: Path) -> list[str]:
    """QEMU's arguments for a TPM at this control socket (CRB interface)."""
    return [
        "-chardev", f"socket,id=tpmchar,path={control}",
        "-tpmdev", "emulator,id=tpm0,chardev=tpmchar",
        "-device", "tpm-crb,tpmdev=tpm0",
    ]  # fmt: skip
