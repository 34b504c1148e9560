"""What can go wrong in the lab, and whose fault it is. Pure."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what was asked: bad scenario, missing tool, missing artefact."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """The lines an operator sees."""
        lines = [f"error: {self.message}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ScenarioFailed(LabError):
    """A step did not come to its end, or an expectation does not hold."""


class InfrastructureFailed(LabError):
    """The virtual hardware, not the product: the guest's kernel crashed, QEMU died."""
