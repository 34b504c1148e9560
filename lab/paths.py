"""Where the lab keeps things: caches under XDG_CACHE_HOME, runs under the checkout's build/."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def checkout() -> Path:
    """The root of the project's checkout."""
    return Path(__file__).resolve().parent.parent


def build(name: str) -> Path:
    """`build/<name>` in the checkout, made if missing."""
    folder = checkout() / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache(kind: str) -> Path:
    """The project's cache folder of one kind, made if missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base, "trident-appliance", kind)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def program(name: str) -> Path:
    """A command of this project, installed beside the running Python."""
    return Path(sys.executable).parent / name
