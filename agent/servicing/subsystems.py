"""Which subsystems take part, and in which order. The one place that knows them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.api.status import HostStatus, ServicingState
from agent.engine.context import Context
from agent.engine.subsystem import Subsystem
from agent.servicing import statuses
from agent.subsystems.boot.subsystem import BootSubsystem
from agent.subsystems.extensions.subsystem import Extensions
from agent.subsystems.health import HealthChecks
from agent.subsystems.history import History
from agent.subsystems.hooks import Hooks
from agent.subsystems.initrd import Initrd, Inputs
from agent.subsystems.management import Management
from agent.subsystems.management_os import ManagementOs
from agent.subsystems.network import Network
from agent.subsystems.osconfig import OsConfig
from agent.subsystems.pre_reboot import PreReboot
from agent.subsystems.selinux import Selinux
from agent.subsystems.storage.subsystem import StorageSubsystem
from agent.subsystems.trial import Trial


@dataclass(frozen=True)
class Subsystems:
    """The subsystems of one run."""

    ordered: tuple[Subsystem, ...]
    hooks: Hooks

    @classmethod
    def for_install(cls, log_directory: Path | None = None) -> Subsystems:
        """PreReboot first: what fails there, at finalize, leaves everything as it is. Management
        before boot: the status is stored before the firmware changes.
        """
        hooks, inputs = Hooks(), Inputs()
        return cls(
            (
                PreReboot(),
                ManagementOs(),
                StorageSubsystem(),
                inputs,
                Management(final_status),
                BootSubsystem(),
                Network(),
                OsConfig(),
                Extensions(),
                hooks,
                Initrd(inputs),
                History(log_directory),
                Selinux(),
            ),
            hooks,
        )

    @classmethod
    def for_update(cls, log_directory: Path | None = None) -> Subsystems:
        """As for an install; the target is on trial until it was committed."""
        hooks, inputs = Hooks(), Inputs()
        return cls(
            (
                PreReboot(),
                StorageSubsystem(),
                inputs,
                Management(final_status),
                BootSubsystem(),
                Network(),
                OsConfig(),
                Extensions(),
                Trial(),
                hooks,
                Initrd(inputs),
                History(log_directory),
                Selinux(),
            ),
            hooks,
        )

    @classmethod
    def for_runtime(cls, log_directory: Path | None = None) -> Subsystems:
        """What can be changed while the system runs; the last to be changed is taken back first."""
        ordered = (Network(), Extensions(), HealthChecks(), History(log_directory))
        return cls(ordered, Hooks())

    @classmethod
    def for_rollback(cls, log_directory: Path | None = None) -> Subsystems:
        """Only what finalizes: the other side is there already."""
        hooks = Hooks()
        ordered = (
            PreReboot(),
            Management(final_status),
            BootSubsystem(),
            History(log_directory),
        )
        return cls(ordered, hooks)


def final_status(context: Context) -> HostStatus:
    """The status that an installed target starts with."""
    return statuses.installed(context, ServicingState.CLEAN_INSTALL_FINALIZED, in_target=True)
