"""The plan of a servicing run: ordered steps, printable before anything happens. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Subsystem

_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True)
class Plan:
    """Ordered steps. `steps` is sorted by phase; within a phase the order of subsystems holds."""

    title: str
    steps: tuple[Step, ...]

    def phase(self, phase: Phase) -> tuple[Step, ...]:
        """The steps of one phase."""
        return tuple(step for step in self.steps if step.phase is phase)

    @property
    def point_of_no_return(self) -> Step | None:
        """The first step that destroys data; None when no step does."""
        return next((step for step in self.steps if step.destructive), None)

    def to_text(self) -> str:
        """The plan for people: one numbered line a step, its effects below it."""
        return "\n".join([self.title, *self._lines()])

    def _lines(self) -> Iterator[str]:
        point = self.point_of_no_return
        for number, step in enumerate(self.steps, 1):
            if step is point:
                yield "---- point of no return: what follows destroys data ----"
            yield f"{number:3}. [{step.phase.name.lower()}] {step.message}"
            for effect in step.effects:
                yield f"       {_effect_text(effect)}"
        if point is None:
            yield "no step destroys data"

    def to_json(self) -> dict[str, object]:
        """The plan for programs: JSON-ready, camelCase keys."""
        point = self.point_of_no_return
        return {
            "title": self.title,
            "pointOfNoReturn": point.name if point else None,
            "steps": [_step_json(step) for step in self.steps],
        }


def build(
    title: str, subsystems: Sequence[Subsystem], context: Context, *, stage: bool, finalize: bool
) -> Plan:
    """Ask every subsystem for its steps and order them by phase (stable)."""
    steps: list[Step] = []
    for subsystem in subsystems:
        if stage:
            steps += subsystem.stage(context)
        if finalize:
            steps += subsystem.finalize(context)
    return Plan(title, tuple(sorted(steps, key=lambda step: step.phase)))


def size_text(size_bytes: int) -> str:
    """A byte count for people: exact below 1 KiB, else one decimal (`1.5 GiB`)."""
    for unit_bytes, unit in _UNITS:
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return f"{size_bytes} B"


def _effect_text(effect: Effect) -> str:
    size = f" ({size_text(effect.size_bytes)})" if effect.size_bytes is not None else ""
    detail = f": {effect.detail}" if effect.detail else ""
    return f"{effect.verb:8}{effect.target}{size}{detail}"


def _step_json(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "phase": step.phase.name.lower(),
        "message": step.message,
        "destructive": step.destructive,
        "effects": [
            {
                "verb": str(effect.verb),
                "target": effect.target,
                "detail": effect.detail,
                "sizeBytes": effect.size_bytes,
            }
            for effect in step.effects
        ],
    }
