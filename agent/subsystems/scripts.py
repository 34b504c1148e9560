"""Operator's scripts, for hooks and health: which take part, what they see, running one."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Script, ServicingTypeSelection
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.linux import script

TIMEOUT_S = 3600.0
"""How long one script may run, unless its caller says otherwise."""
_SHOWN_CHARACTERS = 1024

log = logging.getLogger(__name__)


def selected(run_on: Iterable[ServicingTypeSelection], servicing: ServicingType) -> bool:
    """Whether something with this `runOn` takes part in this kind of servicing. Pure."""
    return any(
        choice is ServicingTypeSelection.ALL or choice.value == servicing.label for choice in run_on
    )


def environment(context: Context, item: Script, target_root: Path) -> dict[str, str]:
    """The variables a script gets beside PATH, LC_ALL and HOME. Pure."""
    given = {"SERVICING_TYPE": context.servicing.script_name, "TARGET_ROOT": str(target_root)}
    phonehome = context.configuration.trident.phonehome
    if phonehome:
        given["PHONEHOME_URL"] = phonehome
    return given | dict(item.environment_variables)


def content(item: Script, section: str) -> bytes:
    """The script's text: inline, or read from its path now. Raises load-script."""
    if item.path is None:
        return (item.content or "").encode()
    return read(Path(item.path), "load-script", section)


def read(path: Path, inner: str, section: str) -> bytes:
    """A file of the servicing OS that `section` of the Host Configuration names."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TridentError(
            Kind.INVALID_INPUT,
            "invalid-host-configuration-dynamic",
            f"{path} cannot be read: {error.strerror}",
            hint=f"the Host Configuration names it in {section}; put it into the servicing image",
            fields={"inner": inner, "path": str(path)},
        ) from error


def run(
    context: Context,
    item: Script,
    text: bytes,
    *,
    code: str,
    target_root: Path = Path("/"),
    chroot: Path | None = None,
    timeout_s: float = TIMEOUT_S,
    cancelled: threading.Event | None = None,
) -> None:
    """Run a script from a private temporary directory, inside `chroot` when given.

    Raises servicing/`code` when it fails, runs out of time or is cancelled.
    """
    inside = chroot or Path("/")
    with tempfile.TemporaryDirectory(prefix="trident-", dir=inside / "tmp") as directory:
        file = Path(directory) / "script"
        file.write_bytes(text)
        file.chmod(0o700)
        outcome = script.run(
            [item.effective_interpreter, "/" / file.relative_to(inside), *item.arguments],
            timeout_s=timeout_s,
            env=environment(context, item, target_root),
            chroot=chroot,
            cancelled=cancelled,
        )
    name = item.name or "unnamed"
    if outcome.returncode != 0:
        raise _failed(name, code, outcome, timeout_s)
    log.debug("script '%s' wrote %d bytes:\n%s", name, outcome.output_bytes, outcome.output)


def _failed(name: str, code: str, outcome: script.Outcome, timeout_s: float) -> TridentError:
    how = (
        f"did not end within {timeout_s:g} s and was killed"
        if outcome.returncode is None
        else f"exited with {outcome.returncode}"
    )
    tail = outcome.output[-_SHOWN_CHARACTERS:].strip()
    return TridentError(
        Kind.SERVICING,
        code,
        f"the script '{name}' {how}{': ' + tail if tail else ''}",
        hint="correct the script in the Host Configuration",
        fields={"script-name": name},
    )
