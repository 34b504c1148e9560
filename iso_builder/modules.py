"""Which kernel modules the images carry. Paths are relative to `kernel/` of a modules folder."""

from __future__ import annotations

from iso_builder.kernel import Choice

NETWORK = ("drivers/net", "drivers/infiniband/core", "drivers/hv/hv_vmbus.ko", "drivers/virtio")
STORAGE = (
    "drivers/ata",
    "drivers/block",
    "drivers/cdrom",
    "drivers/firewire",
    "drivers/memstick",
    "drivers/message",
    "drivers/mmc",
    "drivers/nvme",
    "drivers/scsi",
    "drivers/ufs",
    "drivers/usb/storage",
    "drivers/xen",
)
INPUT_AND_BUSES = (
    "drivers/hid/hid-generic.ko",
    "drivers/hid/hid.ko",
    "drivers/hid/usbhid",
    "drivers/hv",
    "drivers/input/serio",
    "drivers/input/keyboard",
    "drivers/pci",
    "drivers/usb/host",
    "drivers/usb/core",
)
FILE_SYSTEMS = ("fs/isofs", "fs/overlayfs", "fs/squashfs", "fs/udf", "fs/fat", "fs/nls")

_NOT_ETHERNET = tuple(
    f"drivers/net/{name}"
    for name in (
        "arcnet",
        "appletalk",
        "can",
        "fddi",
        "hamradio",
        "hippi",
        "ieee802154",
        "ipvlan",
        "plip",
        "ppp",
        "slip",
        "wan",
        "wireguard",
        "wireless",
        "wwan",
    )
)

INITRD = Choice(
    keep=(*NETWORK, *STORAGE, *INPUT_AND_BUSES, *FILE_SYSTEMS, "lib", "arch/x86/crypto"),
    drop=(
        *_NOT_ETHERNET,
        "drivers/block/drbd",
        "drivers/block/nbd.ko",
        "drivers/block/rbd.ko",
        "drivers/net/ethernet/chelsio/libcxgb",
        "lib/test_bpf.ko",
    ),
)
"""Everything that may stand between the firmware and the root file system: network and storage
adapters, USB, CD; file systems of media."""

LIVE = Choice(
    keep=("arch", "block", "crypto", "drivers", "fs", "lib", "mm", "net"),
    drop=(
        *_NOT_ETHERNET,
        "drivers/accessibility",
        "drivers/bluetooth",
        "drivers/comedi",
        "drivers/gpu",
        "drivers/iio",
        "drivers/isdn",
        "drivers/media",
        "drivers/platform/x86",
        "drivers/staging",
        "drivers/thunderbolt",
        "drivers/usb/gadget",
        "drivers/usb/serial",
        "drivers/video",
        "fs/afs",
        "fs/ceph",
        "fs/gfs2",
        "fs/jfs",
        "fs/nfsd",
        "fs/nilfs2",
        "fs/ocfs2",
        "fs/orangefs",
        "fs/reiserfs",
        "fs/smb",
        "fs/ubifs",
        "net/bluetooth",
        "net/ceph",
        "net/mac80211",
        "net/netfilter",
        "net/openvswitch",
        "net/sched",
        "net/sctp",
        "net/tipc",
        "net/wireless",
    ),
)
"""The live system: all adapters and all that storage servicing needs; no sound, no graphics, no
radio, no cluster file systems."""

TARGET_LEFT_OUT = tuple(
    f"/lib/modules/*/kernel/{folder}/*"
    for folder in ("sound", "drivers/infiniband/hw", "drivers/scsi/bfa", *LIVE.drop)
)
"""dpkg patterns for the sample target system: a server without desktop hardware."""

TARGET_INITRD = (
    "ahci",
    "ata_piix",
    "dm_crypt",
    "dm_verity",
    "ehci_pci",
    "ext4",
    "hv_storvsc",
    "megaraid_sas",
    "mpt3sas",
    "nvme",
    "overlay",
    "raid1",
    "sd_mod",
    "uas",
    "usb_storage",
    "vfat",
    "virtio_blk",
    "virtio_pci",
    "virtio_scsi",
    "vmw_pvscsi",
    "xfs",
    "xhci_pci",
)
"""Drivers in the sample target system's initrd; udev loads those that the machine needs."""
