"""Kernel arguments that the Host Configuration asks for, in images that boot by GRUB.

The linux lines of grub.cfg are edited, on the ESP and in the target's /boot: grub-mkconfig would
probe the servicing machine and drop what the image's builder wrote. What a later grub-mkconfig of
the target reads is written too. A unified kernel image holds its arguments inside: asking for
others is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.api.errors import Kind, TridentError
from agent.api.osconfig import Os, SelinuxMode
from agent.cosi.metadata import CosiMetadata
from agent.linux import files, grub
from agent.linux.grub import Change
from agent.subsystems.boot.families import Family

SELINUX_NAMES: Final = frozenset(("security", "selinux", "enforcing"))
_SELINUX: Final = {
    SelinuxMode.DISABLED: ("selinux=0",),
    SelinuxMode.PERMISSIVE: ("security=selinux", "selinux=1", "enforcing=0"),
    SelinuxMode.ENFORCING: ("security=selinux", "selinux=1", "enforcing=1"),
}
_GRUB_DEFAULTS: Final = Path("etc/default/grub")


def wanted(os: Os) -> Change:
    """What becomes of the image's kernel arguments; the operator's own come last. Pure."""
    extra = grub.split_arguments(os.kernel_command_line.extra_command_line)
    if os.selinux.mode is None:
        return Change(added=extra)
    return Change(SELINUX_NAMES, (*_SELINUX[os.selinux.mode], *extra))


def require_changeable(os: Os, metadata: CosiMetadata) -> None:
    """Raise unsupported-configuration when arguments are asked for that a UKI cannot get."""
    if not metadata.is_uki or not os.kernel_command_line.extra_command_line:
        return
    raise TridentError(
        Kind.UNSUPPORTED_CONFIGURATION,
        "kernel-command-line-fixed",
        "the image boots a unified kernel image, which holds its kernel arguments inside: "
        "os.kernelCommandLine cannot change them",
        hint="build the arguments into the image's UKI, or use an image that boots by GRUB",
    )


def write(root: Path, family: Family, esp_config: Path, change: Change) -> None:
    """Make `change` in the target's own grub.cfg and defaults; that on the ESP has it already.

    Raises update-grub-configs when neither grub.cfg starts a kernel.
    """
    own = root / family.own_config
    configs = [path for path in (own, esp_config) if path.is_file() and not path.is_symlink()]
    if not any(grub.starts_kernels(path.read_text()) for path in configs):
        raise TridentError(
            Kind.SERVICING,
            "update-grub-configs",
            "kernel arguments cannot be set: no grub.cfg of the image has a 'linux' line",
            hint=f"the image builder must write menu entries to /{family.own_config} or to the "
            "grub.cfg on the EFI system partition; or remove os.kernelCommandLine and os.selinux",
        )
    if own in configs:
        _replace(own, grub.set_arguments(own.read_text(), change))
    if (root / _GRUB_DEFAULTS).is_file():
        defaults = root / family.defaults
        defaults.parent.mkdir(mode=0o755, exist_ok=True)
        present = defaults.read_text() if defaults.exists() else ""
        files.write(defaults, grub.set_defaults(present, change), mode=0o644)


def _replace(path: Path, text: str) -> None:
    files.write(path, text, mode=path.stat().st_mode & 0o777)
