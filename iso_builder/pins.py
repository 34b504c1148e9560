"""What an initrd knows of the rest: the digest of its root file system, and whom to trust. Pure.

An initrd may be several cpio archives one after another (early-userspace/buffer-format.rst of the
kernel): a pin is an archive of its own behind the others, so no image is built again for a key.
"""

from __future__ import annotations

from typing import Final

from agent.trust.contents import TRUSTED_KEY
from agent.trust.keys import PublicKey
from iso_builder import cpio

ROOTFS_DIGEST: Final = "etc/trident/rootfs.sha384"


def root_file_system(sha384: str) -> bytes:
    """An archive with the one root file system that the initrd may start."""
    return _archive(ROOTFS_DIGEST, f"{sha384}\n".encode())


def trusted_key(key: PublicKey) -> bytes:
    """An archive with the key that signed what the initrd was shipped with."""
    return _archive(TRUSTED_KEY, key.pem())


def _archive(name: str, data: bytes) -> bytes:
    return cpio.encode(cpio.with_parents([cpio.file(name, data)]))
