"""What the kernel shows of a machine's devices."""

from __future__ import annotations

from pathlib import Path


def interface(folder: Path, mac: str) -> Path:
    """A folder of interfaces with one whose link is up."""
    (folder / "eth0/device").mkdir(parents=True)
    (folder / "eth0/address").write_text(f"{mac}\n")
    (folder / "eth0/carrier").write_text("1\n")
    return folder
