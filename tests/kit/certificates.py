"""A certificate authority for tests, whose certificate serves 127.0.0.1 as well."""

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


def authority(folder: Path) -> Authority:
    """A fresh one, in this folder."""
    made = Authority(folder / "certificate.pem", folder / "key.pem")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    run([*argv, "-keyout", made.key, "-out", made.certificate])
    return made
