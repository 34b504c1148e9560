"""The scripts that iPXE and GRUB run. Pure: values in, text out.

Leaving for the local disk: iPXE ends with an error, because EDK2 takes success for the end of
booting and opens its menu, while an error makes it try the next boot option. GRUB 2.06 cannot end
with an error, so its script starts the loader on the disk's EFI system partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bootserver.boot.artifacts import INITRD, KERNEL, ROOTFS

GRUB_CONFIG: Final = "grub/grub.cfg"
_FIRST_DELAY_S: Final = 2
_LONGEST_DELAY_S: Final = 32
_FALLBACK_LOADER: Final = "/EFI/BOOT/BOOTX64.EFI"


@dataclass(frozen=True)
class Servicing:
    """What a machine needs to start the servicing image."""

    mac: str
    base_url: str
    rootfs_sha384: str
    kernel_arguments: Sequence[str]

    @property
    def command_line(self) -> str:
        """The kernel command line, without the loader's own `initrd=`."""
        own = (
            f"trident.rootfs={self.base_url}/artifacts/{ROOTFS}",
            f"trident.rootfs.sha384={self.rootfs_sha384}",
            f"trident.server={self.base_url}",
            f"BOOTIF=01-{self.mac.replace(':', '-')}",
        )
        return " ".join((*own, *self.kernel_arguments))


def ipxe_install(servicing: Servicing) -> str:
    """Start the servicing image. A failed fetch asks for the script anew, with growing pauses."""
    base = f"{servicing.base_url}/artifacts"
    return f"""#!ipxe
isset ${{pause}} || set pause:int32 {_FIRST_DELAY_S}
kernel {base}/{KERNEL} initrd={INITRD} {servicing.command_line} || goto retry
initrd --name {INITRD} {base}/{INITRD} || goto retry
boot || goto retry
:retry
echo Could not start the servicing image; trying again in ${{pause}} s
sleep ${{pause}}
iseq ${{pause}} {_LONGEST_DELAY_S} || inc pause ${{pause}}
imgfree
chain --replace --autofree {servicing.base_url}/ipxe/{servicing.mac} || goto retry
"""


def ipxe_identify(base_url: str, mac: str) -> str:
    """Ask for the script again with the machine's serial number, which groups match by."""
    return f"""#!ipxe
chain --replace --autofree {base_url}/ipxe/{mac}?serial=${{serial:uristring}}
"""


def ipxe_local(reason: str) -> str:
    """Leave the network: the machine boots its own disk."""
    return f"""#!ipxe
echo {_printable(reason)}
iseq ${{platform}} efi || goto bios
exit 1
:bios
sanboot --no-describe --drive 0x80 || exit 1
"""


def grub_static(server: str) -> str:
    """The one file the signed GRUB reads: it goes on to the machine's own."""
    return f"""set timeout=0
set pager=0
while true; do
  configfile (tftp,{server})/grub/host/${{net_default_mac}}.cfg
  echo "Could not start from the boot server {server}; trying again"
  sleep 5
done
"""


def grub_install(servicing: Servicing, server: str) -> str:
    """Start the servicing image over TFTP: GRUB 2.06 speaks HTTP to port 80 only."""
    return f"""set timeout=0
until linux (tftp,{server})/{KERNEL} {servicing.command_line}; do
  echo "Could not read the kernel; trying again"
  sleep 5
done
until initrd (tftp,{server})/{INITRD}; do
  echo "Could not read the initrd; trying again"
  sleep 5
done
boot
"""


def grub_local(reason: str, active_volume: str | None = None) -> str:
    """Start the loader on the local disk: of the active A/B volume if known, else the fallback.

    `root` tells shim where it came from: it would load the second stage over the network again.
    """
    folder = {"volume-a": "AZLA", "volume-b": "AZLB"}.get(active_volume or "")
    loaders = ([f"/EFI/{folder}/BOOTX64.EFI"] if folder else []) + [_FALLBACK_LOADER]
    attempts = "".join(
        f"""if search --no-floppy --file {loader} --set=esp; then
  set root=$esp
  chainloader ($esp){loader}
  boot
fi
"""
        for loader in loaders
    )
    return f'set timeout=0\necho "{_printable(reason)}"\n{attempts}exit\n'


def _printable(text: str) -> str:
    """One line without the characters that iPXE and GRUB interpret."""
    return "".join(c if c.isascii() and (c.isalnum() or c in " .,:;-_/()") else " " for c in text)
