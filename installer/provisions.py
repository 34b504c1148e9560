"""What the medium brings for the live system: put in place before anything else happens.

Files, then certificates, then the network; the script waits for the installation. What was embedded
later comes before what the medium was built with. Changes the live system only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError, context
from agent.linux import files, netplan, run, script
from agent.medium import provisions
from agent.medium.provisions import Provisions

SCRIPT = Path("run/trident/pre-install")
BUNDLE = Path("run/trident/ca-certificates.crt")
"""The system's authorities and the medium's, for TLS of the installer."""
NETPLAN = Path("etc/netplan/60-trident-medium.yaml")
_SYSTEM_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_TRUSTED = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_SCRIPT_LIMIT_S = 3600.0
_SHOWN_LINES = 20


@dataclass(frozen=True)
class Live:
    """The live system: where its root is, and what brings its network up."""

    root: Path = Path("/")
    bring_up: Callable[[], None] = netplan.apply


def put(shelves: Sequence[dict[str, bytes]], tell: Callable[[str], None], live: Live) -> Provisions:
    """Put in place what these files of the medium bring, an earlier shelf before a later.

    Raises provisions-not-placed, servicing/command-failed when the network does not come up.
    """
    brought = provisions.NOTHING
    for shelf in reversed(shelves):
        brought = provisions.found(shelf).over(brought)
    try:
        for path, file in sorted(brought.files.items()):
            _write(live.root, path, file.data, file.mode)
        if brought.authority is not None:
            _trust(live.root, brought.authority)
        if brought.script is not None:
            _write(live.root, SCRIPT, brought.script, 0o700)
        if brought.network is not None:
            _write(live.root, NETPLAN, brought.network, 0o600)
    except OSError as error:
        raise TridentError(
            Kind.INITIALIZATION,
            "provisions-not-placed",
            f"what the medium brings cannot be put in place: {error.filename}: {error.strerror}",
            hint="correct the paths (trident-iso customize --show lists them), or give the machine "
            "more memory",
        ) from error
    if brought.network is not None:
        with context("bringing up the network that the medium asks for"):
            live.bring_up()
    for kind, what in brought.describe():
        tell(f"from the medium: {kind} {what}")
    return brought


def trust_authorities(root: Path = Path("/")) -> None:
    """Have this process trust the medium's authorities too, if it brought any."""
    bundle = files.inside(root, BUNDLE)
    if bundle.exists():
        os.environ.update(dict.fromkeys(_TRUSTED, str(bundle)))


def run_script(tell: Callable[[str], None], root: Path = Path("/")) -> None:
    """Run the medium's script, if it brought one. Raises run-pre-install-script."""
    path = files.inside(root, SCRIPT)
    if not path.exists():
        return
    tell("running the script of the medium")
    outcome = script.run([path], timeout_s=_SCRIPT_LIMIT_S, env=run.environment())
    for line in outcome.output.splitlines()[-_SHOWN_LINES:]:
        tell(f"pre-install: {line}")
    if outcome.returncode == 0:
        return
    how = (
        f"was stopped after {_SCRIPT_LIMIT_S:g} s"
        if outcome.returncode is None
        else f"ended with {outcome.returncode}"
    )
    raise TridentError(
        Kind.INITIALIZATION,
        "run-pre-install-script",
        f"the medium's script {how}; nothing was written: {outcome.output[-1024:].strip()}",
        hint="correct the script and embed it again (trident-iso customize --pre-install)",
    )


def _trust(root: Path, authority: bytes) -> None:
    system = files.inside(root, _SYSTEM_BUNDLE)
    known = system.read_bytes() if system.exists() else b""
    _write(root, BUNDLE, known + b"\n" + authority, 0o644)


def _write(root: Path, path: Path | str, data: bytes, mode: int) -> None:
    target = files.inside(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write(target, data, mode=mode)
