"""The door: `trident` on the command line. The only place that turns errors into exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import agent


def parser() -> argparse.ArgumentParser:
    """The command line grammar."""
    top = argparse.ArgumentParser(prog="trident", description="on-host OS lifecycle agent")
    top.add_argument("-V", "--version", action="version", version=f"trident {agent.__version__}")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    parser().parse_args(argv)
    return 0
