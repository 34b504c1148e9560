"""SELinux in the target: its mode, and labels for everything that was written there.

The image's policy labels the target's own file systems, each for itself and without what is mounted
over its directories: the real /dev, /proc and /tmp need labels too. Kernel arguments are the boot
subsystem's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.osconfig import SelinuxMode
from agent.api.status import ServicingType
from agent.api.storage import ROOT
from agent.cosi.metadata import CosiMetadata
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import files, mounts, selinux
from agent.subsystems.storage.layout import dynamic_error

TOP = Path("/run/trident/relabel")
"""Where the file systems are mounted once more, inside the newroot; /run is memory there."""
LABELLED = ("ext4", "xfs")
_POLICY_PACKAGE = "selinux-policy"

log = logging.getLogger(__name__)


class Selinux:
    """Sets the mode and labels the target. Last of all that write to it."""

    name = "selinux"

    def tools(self, _: Context) -> Sequence[str]:
        return ("chroot",)

    def validate(self, context: Context) -> None:
        """What is known not to work, and an image without a policy as far as its packages tell."""
        mode = context.configuration.os.selinux.mode
        if context.image is None or mode in (None, SelinuxMode.DISABLED):
            return
        metadata = context.image.metadata
        if mode is SelinuxMode.ENFORCING:
            _require_enforceable(context, metadata)
        if metadata.is_uki:
            require_agreeing(_uki_arguments(metadata), mode)
        if lacks_policy(metadata):
            if not context.configuration.internal_params.relaxed_cosi_validation:
                raise _not_found("the image's packages hold no SELinux policy")
            log.warning("the image's packages hold no SELinux policy")

    def stage(self, context: Context) -> Sequence[Step]:
        if context.image is None:
            return ()
        if _switched_off(context):
            return tuple(_mode(context))
        return (
            *_mode(context),
            Step(
                "selinux/labels",
                Phase.CONFIGURE,
                "labelling files for SELinux, if the target uses it",
                relabel,
                (Effect(Verb.CHANGE, "SELinux labels", "of the target's file systems"),),
            ),
        )

    def finalize(self, context: Context) -> Sequence[Step]:
        """What finalize writes beside the datastore gets the label of its directory."""
        if context.servicing is not ServicingType.CLEAN_INSTALL or _switched_off(context):
            return ()
        return (
            Step(
                "selinux/late-labels",
                Phase.FINALIZE,
                "labelling what was written last",
                _label_late,
            ),
        )


def require_agreeing(arguments: str, mode: SelinuxMode) -> None:
    """Raise unsupported-configuration when a UKI's own arguments overrule `mode`. Pure."""
    given = dict(word.partition("=")[::2] for word in arguments.split())
    enforcing = "1" if mode is SelinuxMode.ENFORCING else "0"
    off = given.get("selinux") == "0"
    if not off and given.get("enforcing", enforcing) == enforcing:
        return
    raise TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "kernel-command-line-fixed",
        f"the image's unified kernel image starts SELinux in another mode than '{mode}'",
        hint="build `security=selinux selinux=1` (and the right `enforcing=`) into the image's UKI",
    )


def lacks_policy(metadata: CosiMetadata) -> bool:
    """Whether the image's list of packages has no policy; False when it has no list. Pure."""
    packages = metadata.os_packages or ()
    return bool(packages) and not any(p.name.startswith(_POLICY_PACKAGE) for p in packages)


def relabel(context: Context) -> None:
    """Label the target's file systems unless SELinux is off there."""
    root = context.newroot
    config = root / selinux.CONFIG
    text = config.read_text() if config.is_file() else ""
    wanted = context.configuration.os.selinux.mode
    mode = str(wanted) if wanted is not None else selinux.mode(text)
    if mode not in (SelinuxMode.PERMISSIVE, SelinuxMode.ENFORCING):
        log.debug("SELinux is off in the target: nothing to label")
        return
    policy = selinux.policy_type(text)
    _require_policy(root, policy)
    with _once_more(context) as labelled:
        selinux.label(root, policy, TOP, labelled)


def _switched_off(context: Context) -> bool:
    return context.configuration.os.selinux.mode is SelinuxMode.DISABLED


def _mode(context: Context) -> Iterator[Step]:
    mode = context.configuration.os.selinux.mode
    if mode is not None:
        yield Step(
            "selinux/mode",
            Phase.CONFIGURE,
            f"setting SELinux to {mode}",
            _set_mode,
            (Effect(Verb.WRITE, f"/{selinux.CONFIG}"),),
        )


def _set_mode(context: Context) -> None:
    mode = context.configuration.os.selinux.mode
    config = context.newroot / selinux.CONFIG
    if not config.is_file():
        if mode is SelinuxMode.DISABLED:
            return
        raise _not_found(f"the image has no /{selinux.CONFIG}")
    text = config.read_text()
    if mode is not SelinuxMode.DISABLED:
        _require_policy(context.newroot, selinux.policy_type(text))
    files.write(config, selinux.set_mode(text, str(mode)), mode=config.stat().st_mode & 0o777)


def _require_policy(root: Path, policy: str) -> None:
    contexts = selinux.file_contexts(policy)
    if not (root / contexts).is_file():
        raise _not_found(f"the image has no /{contexts}")
    if not selinux.can_label(root):
        raise _not_found("the image has no setfiles to label files with")


def _label_late(context: Context) -> None:
    directory = Path(context.configuration.trident.datastore_path).parent
    for path in files.inside(context.newroot, directory).iterdir():
        if path.is_file():
            files.inherit_label(path)


@contextmanager
def _once_more(context: Context) -> Iterator[tuple[Path, ...]]:
    """The target's writable file systems below TOP, bare; their paths inside the newroot."""
    with ExitStack() as stack:
        labelled = []
        for path in _labelled(context):
            inside = TOP / path.relative_to("/")
            source = files.inside(context.newroot, path)
            target = files.inside(context.newroot, inside)
            stack.enter_context(mounts.mounted(source, target, options=("bind",)))
            labelled.append(inside)
        yield tuple(labelled)


def _labelled(context: Context) -> tuple[Path, ...]:
    """Where file systems that hold labels are mounted, parents first."""
    found = []
    for filesystem in context.configuration.storage.filesystems:
        if filesystem.mount_path is not None:
            mount = mounts.at(files.inside(context.newroot, str(filesystem.mount_path)))
            if mount is not None and mount.filesystem in LABELLED and not mount.read_only:
                found.append(Path(filesystem.mount_path))
    return tuple(sorted(found, key=lambda path: path.parts))


def _require_enforceable(context: Context, metadata: CosiMetadata) -> None:
    os, storage = context.configuration.os, context.configuration.storage
    if os.sysexts or os.confexts:
        raise dynamic_error(
            "extension-images-and-selinux-unsupported",
            "SELinux in enforcing mode does not work with sysexts and confexts",
            "set os.selinux.mode to permissive or disabled, or remove the extension images",
        )
    devices = {verity.id for verity in storage.verity}
    root = next((fs for fs in storage.filesystems if fs.mount_path == ROOT), None)
    if root is not None and root.device_id in devices and not metadata.is_uki:
        raise dynamic_error(
            "root-verity-and-selinux-unsupported",
            "SELinux in enforcing mode does not work with a root file system that verity protects",
            "set os.selinux.mode to permissive or disabled, or use an image with a UKI",
        )


def _uki_arguments(metadata: CosiMetadata) -> str:
    loader = metadata.bootloader.systemd_boot if metadata.bootloader else None
    return loader.entries[0].cmdline if loader and loader.entries else ""


def _not_found(what: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "selinux-enabled-but-not-found",
        f"SELinux is to be on in the target, but {what}",
        hint="add the SELinux policy and policycoreutils to the image, or set os.selinux.mode to "
        "disabled",
    )
