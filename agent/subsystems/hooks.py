"""The operator's scripts and files: preServicing, additionalFiles, postProvision, postConfigure.

Scripts and files that are paths of the servicing OS are read into memory before anything is
destroyed; only preServicing scripts are read when they run. What runs when: `runOn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Script
from agent.api.osconfig import AdditionalFile
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files
from agent.subsystems import scripts

DEFAULT_FILE_MODE = 0o644
_FILES_SECTION = "os.additionalFiles[].source"


@dataclass(frozen=True)
class Loaded:
    """A file of the servicing OS, in memory."""

    data: bytes
    mode: int


class Hooks:
    """Runs scripts and writes additional files."""

    name = "hooks"

    def __init__(self) -> None:
        self._loaded: dict[Path, Loaded] = {}

    def tools(self, _: Context) -> Sequence[str]:
        return ("chroot",)

    def validate(self, context: Context) -> None:
        """All files named by path can be read. Raises load-script, load-additional-file."""
        for path in _script_paths(context):
            _load(path, "load-script", "scripts")
        for path in _file_sources(context):
            _load(path, "load-additional-file", _FILES_SECTION)

    def pre_servicing(self, context: Context) -> Sequence[Step]:
        """The scripts that run before the host is checked."""
        items = context.configuration.scripts.pre_servicing
        return _steps(context, items, Phase.PRE_SERVICING, "preServicing", _run_pre_servicing)

    def stage(self, context: Context) -> Sequence[Step]:
        items = context.configuration.scripts
        steps = list(self.pre_servicing(context))
        if _script_paths(context) or _file_sources(context):
            steps.append(
                Step("hooks/load", Phase.PREPARE, "reading scripts and files", self._load_all)
            )
        steps += _steps(
            context, items.post_provision, Phase.PROVISION, "postProvision", self._run_provision
        )
        additional = context.configuration.os.additional_files
        if additional:
            effects = tuple(Effect(Verb.WRITE, str(file.destination)) for file in additional)
            steps.append(
                Step(
                    "hooks/files",
                    Phase.CONFIGURE,
                    "writing additional files",
                    self._write_files,
                    effects,
                )
            )
        steps += _steps(
            context, items.post_configure, Phase.CONFIGURE, "postConfigure", self._run_configure
        )
        return steps

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()

    def _load_all(self, context: Context) -> None:
        for path in _script_paths(context):
            self._loaded[path] = _load(path, "load-script", "scripts")
        for path in _file_sources(context):
            self._loaded[path] = _load(path, "load-additional-file", _FILES_SECTION)

    def _text(self, item: Script) -> bytes:
        if item.path is not None:
            return self._loaded[Path(item.path)].data
        return (item.content or "").encode()

    def _run_provision(self, context: Context, item: Script) -> None:
        scripts.run(
            context,
            item,
            self._text(item),
            code="run-post-provision-script",
            target_root=context.newroot,
        )

    def _run_configure(self, context: Context, item: Script) -> None:
        scripts.run(
            context,
            item,
            self._text(item),
            code="run-post-configure-script",
            chroot=context.newroot,
        )

    def _write_files(self, context: Context) -> None:
        for file in context.configuration.os.additional_files:
            if file.source is not None:
                loaded = self._loaded[Path(file.source)]
                _write_file(file, loaded.data, loaded.mode, context.newroot)
            else:
                _write_file(file, (file.content or "").encode(), None, context.newroot)


def file_mode(permissions: str | None, source_mode: int | None) -> int:
    """The mode of an additional file: what is asked for, else its source's, else 0644. Pure."""
    if permissions is not None:
        return int(permissions, 8)
    return source_mode & 0o777 if source_mode is not None else DEFAULT_FILE_MODE


def _steps(
    context: Context,
    items: Iterable[Script],
    phase: Phase,
    section: str,
    act: Callable[[Context, Script], None],
) -> list[Step]:
    return [
        Step(
            f"hooks/{section}/{item.name or number}",
            phase,
            f"running the {section} script '{item.name or number}'",
            _bound(act, item),
            (Effect(Verb.RUN, f"{item.effective_interpreter} {item.path or '(inline)'}"),),
        )
        for number, item in enumerate(items, 1)
        if scripts.selected(item.run_on, context.servicing)
    ]


def _bound(act: Callable[[Context, Script], None], item: Script) -> Callable[[Context], None]:
    def run(context: Context) -> None:
        act(context, item)

    return run


def _run_pre_servicing(context: Context, item: Script) -> None:
    text = scripts.content(item, "scripts.preServicing")
    scripts.run(context, item, text, code="run-pre-servicing-script")


def _script_paths(context: Context) -> list[Path]:
    items = context.configuration.scripts
    return [
        Path(item.path)
        for item in (*items.post_provision, *items.post_configure)
        if item.path is not None and scripts.selected(item.run_on, context.servicing)
    ]


def _file_sources(context: Context) -> list[Path]:
    additional = context.configuration.os.additional_files
    return [Path(file.source) for file in additional if file.source is not None]


def _load(path: Path, inner: str, section: str) -> Loaded:
    return Loaded(scripts.read(path, inner, section), path.stat().st_mode)


def _write_file(file: AdditionalFile, data: bytes, source_mode: int | None, root: Path) -> None:
    target = files.inside(root, str(file.destination))
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.write(target, data, mode=file_mode(file.permissions, source_mode))
    except OSError as error:
        raise TridentError(
            Kind.SERVICING,
            "write-additional-file",
            f"{file.destination} could not be written: {error.strerror}",
            hint="check os.additionalFiles[].destination and the size of that file system",
            fields={"destination": str(file.destination)},
        ) from error
