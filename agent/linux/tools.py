"""Which of the host's programs are there. Looks only; runs nothing."""

from __future__ import annotations

from collections.abc import Iterable

from agent.api.errors import Kind, TridentError
from agent.linux import run


def missing(required: Iterable[str]) -> tuple[str, ...]:
    """The programs of `required` that are not installed, sorted."""
    return tuple(sorted({binary for binary in required if run.find(binary) is None}))


def check(required: Iterable[str]) -> None:
    """Raise one missing-binary error that names every program of `required` that is absent."""
    absent = missing(required)
    if not absent:
        return
    names = ", ".join(f"'{binary}'" for binary in absent)
    raise TridentError(
        Kind.EXECUTION_ENVIRONMENT,
        "missing-binary",
        f"not installed on this system: {names}",
        hint="add the packages that hold them to the servicing image, then start again",
        fields={"binary": ",".join(absent)},
    )
