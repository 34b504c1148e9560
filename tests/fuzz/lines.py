"""Which lines of a module's functions ran: the coverage that a fuzzing campaign reports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from coverage import Coverage


@dataclass
class Lines:
    """Filled in when the measured block ends: lines that ran, of all lines inside functions."""

    ran: int = 0
    total: int = 0
    missed: dict[str, list[int]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.ran / self.total if self.total else 0.0

    def line(self) -> str:
        missed = "; ".join(f"{name} {lines}" for name, lines in self.missed.items() if lines)
        tail = f", missed: {missed}" if missed else ""
        return f"line coverage {100 * self.share:.1f} % ({self.ran} of {self.total}){tail}"


@contextmanager
def measured(*modules: ModuleType) -> Iterator[Lines]:
    """Measure the functions of `modules` while the block runs. Lines that ran at import time
    (declarations) don't count."""
    paths = [str(module.__file__) for module in modules]
    coverage = Coverage(data_file=None, include=paths, config_file=False)
    lines = Lines()
    coverage.start()
    try:
        yield lines
    finally:
        coverage.stop()
        for path in paths:
            _, statements, _, missing, _ = coverage.analysis2(path)
            inside = _function_lines(Path(path))
            missed = sorted(inside & set(missing))
            lines.total += len(inside & set(statements))
            lines.ran += len(inside & set(statements)) - len(missed)
            lines.missed[Path(path).name] = missed


def _function_lines(path: Path) -> set[int]:
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {
        line
        for function in functions
        for line in range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1)
    }
