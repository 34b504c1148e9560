"""The rules that findings name: what each means and what to do when it is broken.

`docs/reference/errors.md` is made from this table; a test holds it complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.api.catalogue import Meaning

_OVERLAY: Final = "Mount a writable volume at /var/lib/trident-overlay."
_NO_CHANGE: Final = "Keep what is installed, or install the host anew."
_ONE_SOURCE: Final = "Give exactly one of `content` and `source`."

GRAPH: Final[Mapping[str, Meaning]] = {
    "basic-check-failed": Meaning(
        "A disk's path is not absolute, a size is no multiple of 4096 above zero, or an adopted"
        " partition is not found by exactly one of label and UUID.",
        "Correct the value.",
    ),
    "duplicate-device-id": Meaning(
        "Two devices have the same id.", "Give each disk, partition, array and volume its own."
    ),
    "duplicate-mount-point": Meaning(
        "Two file systems are mounted at one place.", "Move one of them."
    ),
    "duplicate-target-id": Meaning(
        "An array, pair or verity device names a device twice.", "Name different devices."
    ),
    "filesystem-esp-multiple": Meaning(
        "More than one file system is the EFI system partition.",
        "Mark the others with `overrideEspMount: block`.",
    ),
    "filesystem-esp-without-mount-point": Meaning(
        "The file system marked as EFI system partition has no mount point.",
        "Mount it at /boot/efi.",
    ),
    "filesystem-missing-block-device-id": Meaning(
        "A file system that needs a device has none.", "Set `deviceId`."
    ),
    "filesystem-missing-mount-point": Meaning(
        "A tmpfs or overlay without a mount point does nothing.", "Set `mountPoint`."
    ),
    "filesystem-unexpected-block-device-id": Meaning(
        "A tmpfs or overlay cannot be on a device.", "Remove `deviceId`."
    ),
    "invalid-partition-type": Meaning(
        "A partition's type is not allowed beneath what stands on it.",
        "Change the type; storage-rules.md has the table.",
    ),
    "invalid-partition-type-special": Meaning(
        "A partition's type is not allowed as data or hash of a verity device.",
        "Change the type; storage-rules.md has the table.",
    ),
    "invalid-raidlevel": Meaning(
        "The EFI system partition is on an array that firmware cannot read.", "Use raid1."
    ),
    "invalid-reference-kind": Meaning(
        "Something stands on a kind of device that it cannot stand on.",
        "Name another device; storage-rules.md has the table.",
    ),
    "invalid-target-count": Meaning(
        "An array has fewer than two members.", "Name at least two partitions."
    ),
    "invalid-verity-hash-partition-type": Meaning(
        "The hash partition's type does not belong to the data partition's.",
        "Use root-verity for root and usr-verity for usr.",
    ),
    "mount-point-path-not-absolute": Meaning(
        "A mount point does not start with /.", "Write the whole path."
    ),
    "non-existent-reference": Meaning(
        "An id is used that no device has.", "Correct the id or define the device."
    ),
    "partition-size-mismatch": Meaning(
        "Partitions beneath an array or pair have different sizes.", "Give them equal sizes."
    ),
    "partition-size-not-fixed": Meaning(
        "A partition beneath an array or pair has the size `grow`.", "Give it a size."
    ),
    "partition-type-mismatch": Meaning(
        "Partitions beneath one device have different types.", "Give them one type."
    ),
    "partition-type-mismatch-special": Meaning(
        "Partitions of one side of a verity device have different types.", "Give them one type."
    ),
    "reference-kind-mismatch": Meaning(
        "A pair or verity device stands on devices of different kinds.",
        "Use devices of one kind.",
    ),
    "referrer-forbidden-sharing": Meaning(
        "Two things stand on one device.", "Give each a device of its own."
    ),
    "unique-field-constraint-error": Meaning(
        "Two devices share a path, UUID, label or name that must be unique.", "Change one of them."
    ),
}
"""The storage graph's rules, as `docs/reference/storage-rules.md` states them."""

STATIC: Final[Mapping[str, Meaning]] = {
    "additional-file-both-content-and-source": Meaning(
        "An additional file has two contents.", _ONE_SOURCE
    ),
    "additional-file-invalid-permissions": Meaning(
        "The mode is not octal text from 0000 to 0777 that starts with 0.",
        "Write it as text: `'0644'`.",
    ),
    "additional-file-no-content-or-source": Meaning(
        "An additional file has no content.", _ONE_SOURCE
    ),
    "datastore-path-in-ab-update-volume": Meaning(
        "The datastore would be lost with the first update.",
        "Mount a volume that is no A/B pair at /var/lib/trident.",
    ),
    "datastore-path-invalid-extension": Meaning(
        "The datastore's name does not end in .sqlite.", "Rename it."
    ),
    "datastore-path-not-in-known-volume": Meaning(
        "No volume of the configuration holds the datastore.", "Add one, or move the datastore."
    ),
    "duplicate-extension-image": Meaning(
        "An extension image is listed twice.", "Remove one of the entries."
    ),
    "duplicate-extension-image-path": Meaning(
        "Two extension images would be the same file.", "Give each a path of its own."
    ),
    "duplicate-module": Meaning("A kernel module is listed twice.", "Merge the entries."),
    "duplicate-user-id": Meaning("Two users have one uid.", "Give each user a uid of its own."),
    "duplicate-usernames": Meaning("A user is defined twice.", "Merge the definitions."),
    "esp-mount-point-not-found": Meaning(
        "No file system is the EFI system partition.", "Mount one at /boot/efi."
    ),
    "expected-mount-point-not-found": Meaning(
        "A file system that is needed is not there: / always, /boot with a verity root.", "Add it."
    ),
    "extension-image-invalid-directory": Meaning(
        "systemd does not look for extension images there.", "Use a folder that the message names."
    ),
    "extension-image-invalid-file-extension": Meaning(
        "An extension image's name does not end in .raw.", "Rename it."
    ),
    "extension-image-not-on-ab-volume": Meaning(
        "The extension image would not change with the system it belongs to.",
        "Place it on an A/B volume.",
    ),
    "invalid-encryption-recovery-key-url-scheme": Meaning(
        "The recovery key must be a local file.", "Use a `file://` URL."
    ),
    "invalid-group-name": Meaning(
        "No group can have this name.", "Name groups that the image has."
    ),
    "invalid-hostname": Meaning(
        "The host name is none.", "Use up to 64 letters, digits, hyphens and dots."
    ),
    "invalid-interface-name": Meaning(
        "A netplan id has blanks or wildcards.", "Use `match` for patterns."
    ),
    "invalid-kernel-argument": Meaning(
        "The boot loader cannot pass this argument on.",
        "Use printable ASCII without apostrophes, and quotation marks in pairs.",
    ),
    "invalid-module-name": Meaning(
        "No kernel module can have this name.", "Use the module's name, not its file's."
    ),
    "invalid-module-option": Meaning(
        "modprobe.d cannot hold this option.", "Use one line without quotation marks."
    ),
    "invalid-mount-options": Meaning(
        "Mount options with blanks would break fstab.", "Separate options by commas."
    ),
    "invalid-netplan-version": Meaning("Netplan's version is not 2.", "Set `version: 2`."),
    "invalid-partition-label": Meaning(
        "A partition's name has control characters.", "Use visible characters."
    ),
    "invalid-password": Meaning(
        "The password or hash has a line break, or the hash a colon.", "Correct it."
    ),
    "invalid-service-name": Meaning(
        "No systemd unit can have this name.", "Name one unit an entry."
    ),
    "invalid-user-id": Meaning("No user can have a negative uid.", "Use a number from 0."),
    "invalid-user-name": Meaning(
        "No user can have this name.", "Use up to 32 letters, digits, `_`, `-` and `.`."
    ),
    "invalid-user-path": Meaning(
        "A home directory or login shell is no absolute path, or has a colon.",
        "Write the whole path, without arguments.",
    ),
    "module-disabled-with-options": Meaning(
        "A kernel module that is not loaded has options.", "Remove them."
    ),
    "mount-point-not-backed-by-ab-update-volume-pair": Meaning(
        "With A/B updates, the overlay of a verity root must be on an A/B pair.", _OVERLAY
    ),
    "mount-point-not-backed-by-block-device": Meaning(
        "The overlay of a verity root must outlive a reboot.", _OVERLAY
    ),
    "mount-point-not-backed-by-image": Meaning(
        "Root and the EFI system partition get their content from the image.",
        "Remove `source` and `type`.",
    ),
    "overlay-on-read-only-volume": Meaning(
        "The overlay of a verity root must be writable.", _OVERLAY
    ),
    "overlay-on-verity-protected-volume": Meaning(
        "The overlay of a verity root cannot be on what verity protects.", _OVERLAY
    ),
    "partition-label-too-long": Meaning(
        "A partition table has room for 36 UTF-16 units a name.", "Set a shorter `label`."
    ),
    "path-not-absolute": Meaning(
        "A script or an additional file has a relative path.", "Write the whole path."
    ),
    "self-upgrade-on-read-only-root-verity-fs": Meaning(
        "The agent cannot copy itself into a root that verity protects.",
        "Put the agent into the image; remove `selfUpgradeTrident`.",
    ),
    "service-enabled-and-disabled": Meaning(
        "A unit is to be enabled and disabled.", "Remove it from one of the lists."
    ),
    "unsupported-encryption-pcrs": Meaning(
        "Volumes can be sealed to PCR 4, 7 and 11 only.", "Choose among them."
    ),
    "unsupported-netplan-renderer": Meaning(
        "NetworkManager is not supported.", "Use `renderer: networkd`."
    ),
    "unsupported-verity-devices": Meaning(
        "There is more than one verity device, or one that is not for / or /usr.",
        "Keep one, with a file system at / or /usr.",
    ),
    "var-tmp-on-read-only-volume": Meaning(
        "The agent needs a writable /var/tmp.", "Mount a writable volume at /var."
    ),
    "verity-device-mounted-read-write": Meaning(
        "What verity protects can only be read.", "Add `ro` to the mount options."
    ),
    "verity-device-name-invalid": Meaning(
        "The name is not what the initrd looks for.", "Use `root` for / and `usr` for /usr."
    ),
    "verity-filesystem-without-mount-point": Meaning(
        "The verity device's file system is not mounted.", "Set `mountPoint`."
    ),
}
"""All other rules that need only the document."""

WARNINGS: Final[Mapping[str, Meaning]] = {
    "invalid-internal-parameter": Meaning(
        "An internal parameter has the wrong type and is ignored.", "Correct its value."
    ),
    "selinux-with-extension-images": Meaning(
        "SELinux and extension images do not work together.", "Set SELinux to disabled."
    ),
    "selinux-with-root-verity": Meaning(
        "SELinux and a verity root work together only with unified kernel images.",
        "Check the image.",
    ),
    "unusual-mount-point": Meaning(
        "A partition of this type is usually mounted elsewhere.", "Check type and mount point."
    ),
}
"""What does not make a document invalid."""

DYNAMIC: Final[Mapping[str, Meaning]] = {
    "datastore-path-changed": Meaning("An update cannot move the datastore.", _NO_CHANGE),
    "deploy-partition-images-after-os-image": Meaning(
        "The host was installed from an image, and the update names none.", "Name an image."
    ),
    "disk-definitions-refer-to-same-device": Meaning(
        "Two disks of the configuration are one.", "Correct `storage.disks[].device`."
    ),
    "disk-in-use": Meaning(
        "The disk holds something that is mounted or open.", "Release it, or name another disk."
    ),
    "root-not-on-ab-volume": Meaning(
        "The host has one root volume only, so there is no side to update.",
        "Install the host anew, with the root file system on a pair of `storage.abUpdate`.",
    ),
    "disk-too-small": Meaning("The partitions do not fit on the disk.", "Make them smaller."),
    "extension-images-and-selinux-unsupported": Meaning(
        "SELinux in enforcing mode does not work with extension images.",
        "Set `os.selinux.mode` to permissive or disabled.",
    ),
    "invalid-disk-block-device-path": Meaning(
        "The disk's path leads to something outside /dev.", "Correct `storage.disks[].device`."
    ),
    "invalid-disk-path": Meaning(
        "The machine has no such disk.", "Name one of the disks in the message."
    ),
    "load-additional-file": Meaning(
        "The source of an additional file cannot be read.", "Put it into the servicing image."
    ),
    "load-script": Meaning("A script cannot be read.", "Put it into the servicing image."),
    "not-a-disk": Meaning("The path leads to something that is no disk.", "Name a whole disk."),
    "root-verity-and-selinux-unsupported": Meaning(
        "SELinux in enforcing mode does not work with a root that verity protects, but for UKIs.",
        "Set `os.selinux.mode` to permissive or disabled.",
    ),
    "storage-configuration-changed": Meaning(
        "An update cannot change disks, arrays, encryption or pairs.", _NO_CHANGE
    ),
}
"""What only shows on the host that the configuration is for."""
