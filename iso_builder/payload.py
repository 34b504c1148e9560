"""Our own programs in a Debian tree: `/usr/lib/trident/` and the commands that start it.

The wheels are those of `requirements/target.txt` (hashes required), chosen for the target's Python
and architecture, not the host's. Everything is compiled and proven by the target's own python3.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import agent
from agent.api.errors import Kind, TridentError, context
from agent.linux import run
from iso_builder import cache, debian

HOME = "usr/lib/trident"
_DOWNLOAD_TIMEOUT_S = 600.0
_COMPILE_TIMEOUT_S = 300.0
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_LAUNCHER = """#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/trident")
from {module} import main

sys.exit(main())
"""


@dataclass(frozen=True)
class Interpreter:
    """The Python that will run the payload: `3.11`, on glibc 2.<glibc_minor>, x86_64."""

    version: str = "3.11"
    glibc_minor: int = 36

    def platforms(self) -> list[str]:
        """Wheel platform tags it can load, the most demanding first (PEP 600)."""
        newest = [f"manylinux_2_{minor}_x86_64" for minor in range(self.glibc_minor, 4, -1)]
        return [*newest, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


@dataclass(frozen=True)
class Program:
    """A command in /usr/bin, the module whose `main` it calls, the package that holds it."""

    command: str
    module: str
    package: str


AGENT = Program("trident", "agent.cli", "agent")
INSTALLER = Program("trident-installer", "installer.cli", "installer")


def source_root() -> Path:
    """The checkout this program runs from. Raises no-checkout when it was installed elsewhere."""
    root = Path(agent.__file__).resolve().parent.parent
    if not (root / "requirements/target.txt").is_file():
        raise TridentError(
            Kind.EXECUTION_ENVIRONMENT,
            "no-checkout",
            f"{root} holds no requirements/target.txt, so images cannot be built from it",
            hint="run trident-iso from a checkout of the project (make venv installs it there)",
        )
    return root


def fingerprint(programs: tuple[Program, ...]) -> str:
    """Hash of all that goes into the payload: a new one means new images."""
    root = source_root()
    sources = [root / program.package for program in programs]
    return cache.fingerprint([*sources, root / "requirements/target.txt", Path(__file__)])


def install(tree: Path, programs: tuple[Program, ...], python: Interpreter) -> str:
    """Put the programs into a tree, compile and try them there; returns what the agent says.

    Raises servicing/command-failed when the tree's own python3 cannot run `trident --version`.
    """
    root = source_root()
    home = tree / HOME
    shutil.copytree(wheels(root / "requirements/target.txt", python), home)
    for program in programs:
        copy_package(root / program.package, home / program.package)
        launcher = _LAUNCHER.format(module=program.module)
        debian.install(tree, f"usr/bin/{program.command}", launcher, mode=0o755)
    return _prove(tree, programs)


def wheels(requirements: Path, python: Interpreter) -> Path:
    """A cached folder of unpacked wheels: what `sys.path` needs to hold."""
    text = requirements.read_text()
    name = cache.key({"requirements": text, "python": python.version, "abi": python.platforms()})

    def build(made: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
        command += ["--require-hashes", "--only-binary=:all:", "--python-version", python.version]
        for platform in python.platforms():
            command += ["--platform", platform]
        command += ["--target", str(made / "lib"), "--requirement", str(requirements)]
        with context(f"fetching the wheels for Python {python.version}"):
            run.run(command, timeout_s=_DOWNLOAD_TIMEOUT_S, env=_pip_environment())
        shutil.rmtree(made / "lib/bin", ignore_errors=True)

    return cache.obtain("wheels", name, build) / "lib"


def copy_package(source: Path, target: Path) -> None:
    """Copy a package; its files are what they are whoever checked them out."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _prove(tree: Path, programs: tuple[Program, ...]) -> str:
    with context("trying the programs in the new image"):
        command = ["/usr/bin/python3", "-I", "-m", "compileall", "-q"]
        command += ["--invalidation-mode", "unchecked-hash", f"/{HOME}"]
        run.run(command, chroot=tree, timeout_s=_COMPILE_TIMEOUT_S)
        said = [
            run.run([f"/usr/bin/{program.command}", "--version"], chroot=tree).stdout.strip()
            for program in programs
        ]
    return said[0]


def _pip_environment() -> dict[str, str]:
    chosen = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    chosen |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return chosen | {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
