"""Partitions, images, filesystems, fstab."""
