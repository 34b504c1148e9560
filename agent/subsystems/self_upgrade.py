"""internalParams.selfUpgradeTrident: the target gets the agent of the servicing system.

The agent is Python: the target's own interpreter must prove that it can run it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.api.errors import Kind, TridentError
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files
from agent.linux.run import run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agent:
    """Where an installed agent is, on both systems."""

    home: Path = Path("/usr/lib/trident")
    launcher: Path = Path("/usr/bin/trident")


INSTALLED = Agent()


def wanted(context: Context) -> bool:
    """Whether the target is to get this agent. Pure."""
    configuration = context.configuration
    return configuration.internal_params.self_upgrade_trident and not configuration.trident.disable


def require_possible(context: Context, installed: Agent = INSTALLED) -> None:
    """Raise copy-trident-binary when there is nothing to copy, or no way to write it."""
    for path in (installed.home, installed.launcher):
        if not path.exists():
            raise _failed(
                f"this system has no {path}",
                "run the installed agent, not one in a checkout; or remove selfUpgradeTrident",
            )
        holder = _file_system_of(path, context)
        if holder in _read_only(context):
            raise _failed(
                f"{holder} is mounted read-only in the target, and {path} is on it",
                "put this agent into the image, and remove selfUpgradeTrident",
            )


def steps(context: Context, installed: Agent = INSTALLED) -> Iterator[Step]:
    """The step that copies the agent, if it is wanted."""
    if wanted(context):
        yield Step(
            "management/self-upgrade",
            Phase.CONFIGURE,
            "copying this agent to the target",
            lambda given: copy(given.newroot, installed),
            (
                Effect(Verb.WRITE, str(installed.home)),
                Effect(Verb.WRITE, str(installed.launcher)),
            ),
        )


def copy(root: Path, installed: Agent) -> None:
    """Replace the agent of the system below `root`. Raises copy-trident-binary.

    Needs /dev, /proc and /sys there.
    """
    home = files.inside(root, installed.home)
    fresh = home.with_name(home.name + ".new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(installed.home, fresh, symlinks=True)
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
        files.copy(installed.launcher, files.inside(root, installed.launcher), mode=0o755)
        said = run([installed.launcher, "--version"], chroot=root).stdout.strip()
    except (OSError, shutil.Error) as error:
        raise _failed(
            f"the agent could not be copied: {error}", "make the volume larger"
        ) from error
    except TridentError as error:
        raise _failed(
            f"the target cannot run this agent: {error.message}",
            "put an agent for its Python into the image, and remove selfUpgradeTrident",
        ) from error
    log.info("the target's agent is now %s", said)


def _file_system_of(path: Path, context: Context) -> PurePosixPath | None:
    """Where the file system is mounted that holds `path` in the target."""
    points = [
        filesystem.mount_path
        for filesystem in context.configuration.storage.filesystems
        if filesystem.mount_path is not None and path.is_relative_to(filesystem.mount_path)
    ]
    return max(points, key=lambda point: len(point.parts), default=None)


def _read_only(context: Context) -> set[PurePosixPath | None]:
    filesystems = context.configuration.storage.filesystems
    return {filesystem.mount_path for filesystem in filesystems if filesystem.read_only}


def _failed(message: str, hint: str) -> TridentError:
    return TridentError(Kind.SERVICING, "copy-trident-binary", message, hint=hint)
