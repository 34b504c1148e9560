"""Names on an installation medium. docs/architecture.md, "Installation medium", explains them."""

from __future__ import annotations

from typing import Final

LABEL_PREFIX: Final = "TRIDENT_"
MOUNT_POINT: Final = "/run/trident/medium"
"""Where the live system has the medium."""

KERNEL: Final = "boot/vmlinuz"
INITRD: Final = "boot/initrd.img"
EFI_IMAGE: Final = "boot/efi.img"
CATALOGUE: Final = "boot/boot.cat"
GRUB_MENU: Final = "boot/grub/grub.cfg"
ISOLINUX: Final = "boot/isolinux/isolinux.bin"
ISOLINUX_MENU: Final = "boot/isolinux/isolinux.cfg"
MANIFEST: Final = "trident/manifest.json"
ROOTFS: Final = "trident/rootfs.squashfs"
DESCRIPTION: Final = "trident/medium.json"
OVERLAY: Final = "trident/overlay"
CONFIGURATION: Final = "trident/config.yaml"
CONFIGURATIONS: Final = "trident/configs"
PRISTINE: Final = "trident/pristine"
"""Folder with copies of the menus as they were built."""
IMAGES: Final = "images"

OVERLAY_BYTES: Final = 1 << 20
MENU_BYTES: Final = 8192

SUMS: Final = "SHA384SUMS"
CONTENTS: Final = "trident/contents.json"
SIGNATURE: Final = "trident/contents.sig"
CHANGES: Final = "trident/changes.json"
CHANGES_SIGNATURE: Final = "trident/changes.sig"

MENUS: Final = (GRUB_MENU, ISOLINUX_MENU)
MUTABLE: Final = (OVERLAY, *MENUS)
"""What `customize` overwrites; SEALS tells whether it may be trusted."""
SEALS: Final = (SUMS, CONTENTS, SIGNATURE, CHANGES, CHANGES_SIGNATURE)


def pristine(menu: str) -> str:
    """Where the copy of a menu is."""
    return f"{PRISTINE}/{menu.rpartition('/')[2]}"


def image_url(name: str) -> str:
    """The `image.url` of an embedded image, for Host Configurations."""
    return f"file://{MOUNT_POINT}/{IMAGES}/{name}"
