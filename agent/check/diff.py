"""What a new Host Configuration changes on a host, and which servicing that takes. Pure.

Two of upstream's choices are not copied. Scripts call for an A/B update when they changed, not
whenever there are any; and so do additional files, which a runtime update does not write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.api import extensions
from agent.api.extensions import ExtensionKind
from agent.api.hostconfig import IGNORED, HostConfiguration, Image
from agent.api.osconfig import Extension
from agent.api.status import ServicingType
from agent.api.storage import Storage
from agent.check.findings import Finding

DYNAMIC: Final = "invalid-host-configuration-dynamic"


@dataclass(frozen=True)
class Selection:
    """The servicing that a change takes; `reasons` says why, most far-reaching first."""

    servicing: ServicingType
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """A part of the configuration whose change takes some servicing."""

    name: str
    value: Callable[[HostConfiguration], object]
    servicing: ServicingType


_PARTS: Final = (
    _Part("os.users", lambda hc: hc.os.users, ServicingType.AB_UPDATE),
    _Part("os.hostname", lambda hc: hc.os.hostname, ServicingType.AB_UPDATE),
    _Part("os.modules", lambda hc: hc.os.modules, ServicingType.AB_UPDATE),
    _Part("os.services", lambda hc: hc.os.services, ServicingType.AB_UPDATE),
    _Part("os.kernelCommandLine", lambda hc: hc.os.kernel_command_line, ServicingType.AB_UPDATE),
    _Part("os.selinux", lambda hc: hc.os.selinux, ServicingType.AB_UPDATE),
    _Part("os.additionalFiles", lambda hc: hc.os.additional_files, ServicingType.AB_UPDATE),
    _Part("scripts", lambda hc: hc.scripts, ServicingType.AB_UPDATE),
    _Part("os.netplan", lambda hc: hc.os.netplan, ServicingType.RUNTIME_UPDATE),
    _Part("os.sysexts", lambda hc: hc.os.sysexts, ServicingType.RUNTIME_UPDATE),
    _Part("os.confexts", lambda hc: hc.os.confexts, ServicingType.RUNTIME_UPDATE),
    _Part("os.uefiFallback", lambda hc: hc.os.uefi_fallback, ServicingType.RUNTIME_UPDATE),
)


def with_known_storage(new: HostConfiguration, recorded: HostConfiguration) -> HostConfiguration:
    """`new` with the host's recorded storage if it names an image and says nothing of storage."""
    if new.image is not None and new.storage == Storage():
        return new.model_copy(update={"storage": recorded.storage})
    return new


def with_known_image(new: HostConfiguration, recorded: HostConfiguration) -> HostConfiguration:
    """`new` with the recorded hash of its image when it states none for the image at that URL.

    What was installed is recorded by its hash: without this, applying a configuration with
    `ignored` again would be a change.
    """
    image, known = new.image, recorded.image
    if image is None or known is None or new.internal_params.force_ab_update:
        return new
    if image.sha384 != IGNORED or image.url != known.url:
        return new
    return new.model_copy(update={"image": known})


def with_known_paths(new: HostConfiguration, recorded: HostConfiguration) -> HostConfiguration:
    """`new` with the recorded place of every extension image that states none.

    The place follows from the image: without this, applying a configuration again would be a
    change. A recorded place outside the usual folder was stated, and is not any more.
    """
    found = {
        kind.section: tuple(
            _placed(one, kind, extensions.of_kind(recorded.os, kind))
            for one in extensions.of_kind(new.os, kind)
        )
        for kind in ExtensionKind
    }
    return new.model_copy(update={"os": new.os.model_copy(update=found)})


def _placed(one: Extension, kind: ExtensionKind, known: tuple[Extension, ...]) -> Extension:
    paths = [
        other.path
        for other in known
        if other.sha384 == one.sha384 and other.path and other.path.parent == kind.folder
    ]
    return one if one.path or not paths else one.model_copy(update={"path": paths[0]})


def select(old: HostConfiguration, new: HostConfiguration) -> Selection:
    """The servicing that takes a host from `old` (default: nothing installed) to `new`.

    What is forbidden is for `forbidden` to say; call it first.
    """
    if old == HostConfiguration():
        return Selection(ServicingType.CLEAN_INSTALL, ("nothing is installed",))
    if reason := _image_reason(old.image, new):
        return Selection(ServicingType.AB_UPDATE, (reason,))
    changed = [part for part in _PARTS if part.value(old) != part.value(new)]
    servicing = max((part.servicing for part in changed), default=ServicingType.NO_ACTIVE_SERVICING)
    return Selection(servicing, tuple(f"{part.name} changed" for part in changed))


def _image_reason(old: Image | None, new: HostConfiguration) -> str | None:
    if new.image is None:
        return None
    if old is None:
        return "an image is given for the first time"
    if new.internal_params.force_ab_update:
        return "internalParams.forceAbUpdate is set"
    if old.sha384 != new.image.sha384:
        return "image.sha384 changed"
    if old.sha384 == IGNORED and old.url != new.image.url:
        return "image.url changed"
    return None


def forbidden(old: HostConfiguration, new: HostConfiguration) -> list[Finding]:
    """What an update cannot change, in upstream's order of evaluation."""
    return [] if old == HostConfiguration() else list(_forbidden(old, new))


def _forbidden(old: HostConfiguration, new: HostConfiguration) -> Iterator[Finding]:
    if old.image is not None and new.image is None:
        yield _finding(
            "deploy-partition-images-after-os-image",
            "the host was installed from an image, and the configuration names none",
            "image",
        )
    if not new.internal_params.allow_host_config_storage_change:
        for name in ("disks", "raid", "encryption", "ab_update"):
            if getattr(old.storage, name) != getattr(new.storage, name):
                key = "abUpdate" if name == "ab_update" else name
                yield _finding(
                    "storage-configuration-changed",
                    f"an update cannot change storage.{key}",
                    "storage",
                    key,
                )
    if old.trident.datastore_path != new.trident.datastore_path:
        yield _finding(
            "datastore-path-changed",
            f"an update cannot move the datastore from '{old.trident.datastore_path}' to"
            f" '{new.trident.datastore_path}'",
            "trident",
            "datastorePath",
        )


def _finding(code: str, message: str, *steps: str) -> Finding:
    hint = "keep what is installed, or install the host anew"
    return Finding(code, message, steps, hint, error_code=DYNAMIC)
