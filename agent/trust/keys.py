"""Ed25519 keys (RFC 8032) in PEM files (RFC 8410), as `openssl pkey` and `pkeyutl` use them.

Signatures are the 64 bytes of RFC 8032. The library does all of the cryptography.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.api.errors import Kind, TridentError, unreadable

_ID_DIGITS = 16


@dataclass(frozen=True)
class PublicKey:
    """Checks signatures."""

    key: Ed25519PublicKey

    @property
    def identity(self) -> str:
        """The first digits of the SHA-256 of its DER form, to tell keys apart."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self.key.public_bytes(serialization.Encoding.DER, form)
        return hashlib.sha256(der).hexdigest()[:_ID_DIGITS]

    def pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(serialization.Encoding.PEM, form)

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is one of `data` by this key."""
        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """Makes signatures; its text form never leaves `private_pem`."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)

    def private_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def generate() -> SigningKey:
    """A new key."""
    return SigningKey(Ed25519PrivateKey.generate())


def load_signing(path: Path) -> SigningKey:
    """Read a private key. Raises read-input-file, signing-key."""
    data = _read(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "is no private key in PEM form, or needs a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "is no Ed25519 key")
    return SigningKey(key)


def load_public(path: Path) -> PublicKey:
    """Read a public key. Raises read-input-file, signing-key."""
    data = _read(path)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(path, "is no public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unusable(path, "is no Ed25519 key")
    return PublicKey(key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error.strerror, "name an existing, readable PEM file") from error


def _unusable(path: Path, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "signing-key",
        f"{path} {why}",
        hint="make a pair with `trident-iso key generate -o FILE`; FILE signs, FILE.pub checks",
    )
