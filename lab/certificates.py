"""A certificate authority that nobody knows, whose certificate is a server's own as well."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from agent.linux.run import run


@dataclass(frozen=True)
class Authority:
    """Its certificate and key, both in PEM form."""

    certificate: Path
    key: Path

    def serving(self) -> ssl.SSLContext:
        """For a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def authority(folder: Path, address: str) -> Authority:
    """A fresh one for the server at this address, in this folder."""
    made = Authority(folder / "certificate.pem", folder / "key.pem")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{address}"]
    run([*argv, "-keyout", made.key, "-out", made.certificate])
    return made
