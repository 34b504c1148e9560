"""The systemd journal as text. Reads only."""

from __future__ import annotations

from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.linux.run import run, spawn

_FORM = ("journalctl", "--no-pager", "--utc", "--output=short-iso-precise")
_UNIT_LINES = 2_000
WHOLE_LINES = 200_000
_LIMIT_S = 300.0


def of_unit(unit: str) -> str:
    """The last lines of a unit's journal."""
    return run([*_FORM, f"--unit={unit}", f"--lines={_UNIT_LINES}"]).stdout


def whole(path: Path) -> None:
    """Write the last WHOLE_LINES lines of the journal to the file `path`.

    Raises missing-binary, command-failed.
    """
    with spawn([*_FORM, f"--lines={WHOLE_LINES}"], log=path) as process:
        status = process.wait(_LIMIT_S)
    if status != 0:
        how = "did not end in time" if status is None else f"exited with {status}"
        raise TridentError(
            Kind.SERVICING,
            "command-failed",
            f"journalctl {how}",
            fields={"binary": "journalctl", "explanation": how},
        )
