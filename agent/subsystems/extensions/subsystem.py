"""Extension images in servicing: into the newroot of an install or A/B update, or, at run time,
into the running system.

At run time `stage` fetches and looks at the images, `finalize` puts them where systemd looks,
removes those that are not listed any more, and has systemd merge them; taken back, the images of
before are in place and merged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from agent.api import extensions
from agent.api.errors import Kind, TridentError
from agent.api.extensions import ExtensionKind, Wanted
from agent.api.osconfig import Os
from agent.cosi.http_policy import redact
from agent.cosi.metadata import CosiMetadata
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files, sysext, systemd
from agent.subsystems.extensions import image, sources, store
from agent.subsystems.extensions.sources import RUNNING
from agent.subsystems.extensions.store import Placed


class Extensions:
    """Places os.sysexts and os.confexts."""

    name = "extensions"

    def __init__(self) -> None:
        self._to_place: tuple[Wanted, ...] = ()
        self._sizes: dict[str, int] = {}
        """Bytes to fetch, by hash."""

    def tools(self, context: Context) -> Sequence[str]:
        listed = _listed(context.configuration.os)
        return ("losetup", "blkid", "systemctl") if listed else ()

    def validate(self, context: Context) -> None:
        """This system or the image can merge them; what is not here can be fetched and has room."""
        for item in extensions.wanted(context.configuration.os):
            _require_mergeable(item, context)
        self._to_place = tuple(_to_place(context))
        self._sizes = {}
        for item in self._to_place:
            size = sources.size_to_fetch(item, context, _in_use(context))
            if size is not None:
                self._sizes[item.sha384] = size
        if context.servicing.is_runtime:
            sources.require_room(sum(self._sizes.values()))

    def stage(self, context: Context) -> Sequence[Step]:
        steps = [self._fetching(item, context) for item in self._to_place]
        kinds = _listed(context.configuration.os)
        if kinds and not context.servicing.is_runtime:
            names = ", ".join(kind.service for kind in kinds)
            steps.append(
                Step(
                    "extensions/enable",
                    Phase.CONFIGURE,
                    f"enabling {names}",
                    partial(_enable, kinds),
                    tuple(Effect(Verb.CHANGE, kind.service, "enabled") for kind in kinds),
                )
            )
        return steps

    def finalize(self, context: Context) -> Sequence[Step]:
        kinds = _affected(context)
        if not context.servicing.is_runtime or not kinds:
            return ()
        return (
            Step(
                "extensions/apply",
                Phase.FINALIZE,
                "putting extension images in place",
                partial(_apply, kinds),
                tuple(_apply_effects(context, kinds)),
                undo=partial(_take_back, kinds),
            ),
        )

    def _fetching(self, item: Wanted, context: Context) -> Step:
        runtime = context.servicing.is_runtime
        size = self._sizes.get(item.sha384)
        fetched = (Effect(Verb.FETCH, redact(item.extension.url), size_bytes=size),) if size else ()
        place = store.STAGING / f"{item.sha384[:12]}...{extensions.SUFFIX}"
        written = Effect(Verb.WRITE, str(place) if runtime else _shown(item), size_bytes=size)
        return Step(
            f"extensions/{item.kind}/{item.file_name}",
            Phase.PREPARE if runtime else Phase.PROVISION,
            f"fetching the {item.kind} {item.file_name}",
            partial(_stage if runtime else _install, item),
            (*fetched, written),
        )


def _stage(item: Wanted, context: Context) -> None:
    """Have the image in the staging folder of the running system, and know its place."""
    known = _in_use(context)
    name = image.examine(sources.obtain(item, context, known, RUNNING), item, RUNNING)
    place = _settled(item, name, context)
    at = files.inside(RUNNING, place)
    ours = place in {one.path for one in known} or store.holds(at, item.sha384)
    if at.exists() and not ours:
        raise TridentError(
            Kind.SERVICING,
            "set-up-extension-images",
            f"{place} exists, and no Host Configuration has put it there",
            hint="move the file away, or give the image another path",
            fields={"path": str(place)},
        )


def _install(item: Wanted, context: Context) -> None:
    """Put the image into the newroot."""
    root = context.newroot
    if not (root / "usr/bin" / item.kind.program).exists():
        raise _unmergeable(item, "the image", None)
    name = image.examine(sources.obtain(item, context, _in_use(context), root), item, root)
    place = _settled(item, name, context)
    store.reconcile([Placed(item.kind, item.sha384, place)], (), root)
    store.clear(root)


def _settled(item: Wanted, name: str, context: Context) -> PurePosixPath:
    """The place of an image whose name was found out, from now on one of the run's facts."""
    place = item.extension.path or extensions.default_path(item.kind, name)
    known = context.facts.extension_paths
    others = [path for key, path in known.items() if key != (item.kind, item.sha384)]
    others += [
        other.extension.path
        for other in extensions.wanted(context.configuration.os)
        if other != item and other.extension.path is not None
    ]
    if place in others:
        raise image.refused(
            item, f"another image is to be {place} too", "list only one of them, or rename one"
        )
    known[item.kind, item.sha384] = place
    return place


def _enable(kinds: Sequence[ExtensionKind], context: Context) -> None:
    systemd.enable([kind.service for kind in kinds], context.newroot)


def _apply(kinds: Sequence[ExtensionKind], context: Context) -> None:
    """Put the running system's images in place, have them merged, and see that they are."""
    target = store.placed(context.configuration.os)
    store.reconcile(target, _known(context), RUNNING)
    _enable([kind for kind in kinds if any(one.kind is kind for one in target)], context)
    for kind in kinds:
        _merge(kind, {one.name for one in target if one.kind is kind})
    systemd.reload()


def _merge(kind: ExtensionKind, names: set[str]) -> None:
    sysext.refresh(kind)
    left_out = names - sysext.merged(kind)
    if left_out:
        raise TridentError(
            Kind.SERVICING,
            "set-up-extension-images",
            f"{kind.program} did not merge {', '.join(sorted(left_out))}",
            hint=f"run `SYSTEMD_LOG_LEVEL=debug {kind.program} refresh`: it says why",
        )


def _take_back(kinds: Sequence[ExtensionKind], context: Context) -> None:
    store.reconcile(store.placed(context.old_status.spec.os), _known(context), RUNNING)
    for kind in kinds:
        sysext.refresh(kind)
    systemd.reload()


def tidy(keep: Iterable[str] = ()) -> None:
    """Remove images that were staged or replaced on the running system, but those of `keep`.

    `keep`: hashes.
    """
    store.clear(RUNNING, keep)


def _in_use(context: Context) -> tuple[Placed, ...]:
    """What the running system was given."""
    return store.placed(context.old_status.spec.os)


def _known(context: Context) -> tuple[Placed, ...]:
    return (*_in_use(context), *store.placed(context.configuration.os))


def _to_place(context: Context) -> Iterator[Wanted]:
    """What the target does not have: at run time, all that is not in place with its hash.

    A runtime update leaves kinds alone of which the configuration changes nothing.
    """
    new, affected = set(_new(context)), _affected(context)
    for item in extensions.wanted(context.configuration.os):
        if item in new or (item.kind in affected and not _in_place(item)):
            yield item


def _in_place(item: Wanted) -> bool:
    path = item.extension.path
    return path is not None and store.holds(files.inside(RUNNING, path), item.sha384)


def _new(context: Context) -> Iterator[Wanted]:
    """What the target was not given before. An install and an A/B update begin with nothing."""
    before = {(one.kind, one.sha384, one.path) for one in _in_use(context)}
    for item in extensions.wanted(context.configuration.os):
        here = (item.kind, item.sha384, item.extension.path) in before
        if not (here and context.servicing.is_runtime):
            yield item


def _listed(os: Os) -> tuple[ExtensionKind, ...]:
    return tuple(dict.fromkeys(item.kind for item in extensions.wanted(os)))


def _affected(context: Context) -> tuple[ExtensionKind, ...]:
    """The kinds whose images a runtime update changes."""
    if not context.servicing.is_runtime:
        return ()
    old, new = context.old_status.spec.os, context.configuration.os
    return tuple(
        kind
        for kind in ExtensionKind
        if extensions.of_kind(old, kind) != extensions.of_kind(new, kind)
    )


def _apply_effects(context: Context, kinds: Sequence[ExtensionKind]) -> Iterator[Effect]:
    target = {one.path for one in store.placed(context.configuration.os)}
    for item in _new(context):
        yield Effect(Verb.WRITE, _shown(item))
    for one in _in_use(context):
        if one.path not in target:
            yield Effect(Verb.CHANGE, str(one.path), "removed")
    for kind in kinds:
        yield Effect(Verb.RUN, f"{kind.program} refresh")


def _shown(item: Wanted) -> str:
    return str(item.extension.path or extensions.default_path(item.kind, "NAME"))


def _require_mergeable(item: Wanted, context: Context) -> None:
    """Raise when whatever is to merge the image has no program for its kind."""
    if context.servicing.is_runtime:
        if not sysext.available(item.kind):
            raise _unmergeable(item, "this host", None)
        return
    version = systemd_version(context.image.metadata) if context.image is not None else None
    if version is not None and version < item.kind.systemd_version:
        raise _unmergeable(item, "the image", version)


def systemd_version(metadata: CosiMetadata) -> int | None:
    """The systemd of an image, by its list of packages; None when that does not say. Pure."""
    for package in metadata.os_packages or ():
        if package.name == "systemd":
            digits = package.version.partition(".")[0]
            return int(digits) if digits.isdecimal() else None
    return None


def _unmergeable(item: Wanted, who: str, version: int | None) -> TridentError:
    has = f" (it has systemd {version})" if version is not None else ""
    return TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "unsupported-configuration",
        f"{who} has no {item.kind.program}, so the {item.kind} {item.file_name} cannot be used"
        f"{has}: systemd {item.kind.systemd_version} or later is needed",
        hint=f"remove os.{item.kind.section}, or use an image with a newer systemd",
        fields={"inner": item.kind.program, "path": f"os.{item.kind.section}"},
    )
