"""Installation media: ISO images that boot UEFI and BIOS machines, as a CD and as a USB stick."""
