"""Extension images of scenarios: a squashfs of a few files and the release file they need."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from agent.linux.run import run
from lab.scenario import Extension


def build(spec: Extension, target: Path) -> str:
    """Make the image `target`; its SHA-384 in lower-case hexadecimal."""
    tree = target.with_suffix(".tree")
    contents = spec.files | {spec.release_path: spec.release_text}
    for name, text in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    target.unlink(missing_ok=True)
    run(["mksquashfs", tree, target, "-quiet", "-no-progress", "-all-root"])
    shutil.rmtree(tree)
    return hashlib.sha384(target.read_bytes()).hexdigest()
