"""The error for disks that hold something COSI cannot tell of, or lack what it must tell."""

from __future__ import annotations

from agent.api.errors import Kind, TridentError


def not_understood(what: str, hint: str) -> TridentError:
    """unsupported-configuration/image-not-understood; `hint` says what to change in the image."""
    return TridentError(Kind.UNSUPPORTED_CONFIGURATION, "image-not-understood", what, hint=hint)
