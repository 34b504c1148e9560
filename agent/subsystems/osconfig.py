"""The basics of the target OS: host name, users and their SSH access, services, kernel modules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.osconfig import LoadMode, Module
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import accounts, files, modprobe, sshd, systemd

MACHINE_ID = Path("etc/machine-id")
HOSTNAME = Path("etc/hostname")

log = logging.getLogger(__name__)


class OsConfig:
    """Configures accounts, the host name, services and kernel modules inside the newroot."""

    name = "os-config"

    def tools(self, _: Context) -> Sequence[str]:
        return ("chroot",)

    def validate(self, _: Context) -> None:
        """Nothing here depends on the host."""

    def stage(self, context: Context) -> Sequence[Step]:
        return (
            *_identity(context),
            *_users(context),
            *_hostname(context),
            *_services(context),
            *_modules(context),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()


def carried_over(context: Context) -> tuple[Path, ...]:
    """The files that make an updated system the host it was: machine-id, and the host name when the
    configuration sets none. Relative to a root. Pure.
    """
    if context.servicing is not ServicingType.AB_UPDATE:
        return ()
    keeps_hostname = context.configuration.os.hostname is None
    if keeps_hostname and not context.configuration.internal_params.disable_hostname_carry_over:
        return (MACHINE_ID, HOSTNAME)
    return (MACHINE_ID,)


def module_files(root: Path, modules: Sequence[Module]) -> dict[Path, str]:
    """The files below `root` that make `modules` what they are to be, with their new texts.

    Only files that change; paths are relative to `root`.
    """
    always = _named(modules, LoadMode.ALWAYS)
    disabled = _named(modules, LoadMode.DISABLE)
    allowed = [*always, *_named(modules, LoadMode.AUTO)]
    options = {module.name: module.options for module in modules if module.options}
    wanted = modprobe.overriding(root, allowed, options)
    disabling = _text(root / modprobe.DISABLED)
    wanted[modprobe.DISABLED] = modprobe.set_disabled(disabling, disable=disabled, allow=allowed)
    loading = _text(root / modprobe.LOAD)
    wanted[modprobe.LOAD] = modprobe.set_loaded(loading, load=always, leave=disabled)
    given = wanted.get(modprobe.OPTIONS, _text(root / modprobe.OPTIONS))
    wanted[modprobe.OPTIONS] = modprobe.set_options(given, options)
    return {path: text for path, text in wanted.items() if text != _text(root / path)}


def _named(modules: Sequence[Module], mode: LoadMode) -> list[str]:
    return [module.name for module in modules if module.load_mode is mode]


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _identity(context: Context) -> Iterator[Step]:
    carried = carried_over(context)
    if carried:
        yield Step(
            "os-config/identity",
            Phase.CONFIGURE,
            "carrying over who this host is",
            partial(_carry_over, carried),
            tuple(Effect(Verb.WRITE, f"/{path}") for path in carried),
        )


def _carry_over(carried: Sequence[Path], context: Context) -> None:
    for path in carried:
        source = Path("/") / path
        if source.is_file():
            files.write(
                context.newroot / path, source.read_bytes(), mode=source.stat().st_mode & 0o777
            )


def _users(context: Context) -> Iterator[Step]:
    users = context.configuration.os.users
    if users:
        yield Step(
            "os-config/users",
            Phase.CONFIGURE,
            f"setting up the users {', '.join(user.name for user in users)}",
            _set_up_users,
            tuple(Effect(Verb.CHANGE, f"user {user.name}") for user in users),
        )


def _set_up_users(context: Context) -> None:
    users = context.configuration.os.users
    for user in users:
        accounts.ensure(context.newroot, user)
    if not sshd.configure(context.newroot, users, "os.users"):
        log.warning("the target has no /%s: sshMode of its users has no effect", sshd.CONFIG)


def _hostname(context: Context) -> Iterator[Step]:
    hostname = context.configuration.os.hostname
    if hostname is not None:
        yield Step(
            "os-config/hostname",
            Phase.CONFIGURE,
            f"setting the host name {hostname}",
            partial(_set_hostname, hostname),
            (Effect(Verb.WRITE, "/etc/hostname"),),
        )


def _set_hostname(hostname: str, context: Context) -> None:
    files.write(context.newroot / HOSTNAME, hostname + "\n", mode=0o644)


def _services(context: Context) -> Iterator[Step]:
    services = context.configuration.os.services
    if services.enable or services.disable:
        yield Step(
            "os-config/services",
            Phase.CONFIGURE,
            "choosing the services that start at boot",
            _choose_services,
            (
                *(Effect(Verb.CHANGE, unit, "started at boot") for unit in services.enable),
                *(Effect(Verb.CHANGE, unit, "not started at boot") for unit in services.disable),
            ),
        )


def _choose_services(context: Context) -> None:
    services = context.configuration.os.services
    for unit in services.enable:
        _choose(systemd.enable_in, unit, "enable", context.newroot)
    for unit in services.disable:
        _choose(systemd.disable_in, unit, "disable", context.newroot)


def _choose(act: Callable[[Path, str], None], unit: str, verb: str, root: Path) -> None:
    try:
        act(root, unit)
    except TridentError as error:
        raise TridentError(
            Kind.SERVICING,
            "configure-services",
            f"the image's systemd cannot {verb} '{unit}': {error.message}",
            hint=f"correct os.services.{verb} of the Host Configuration, or the image",
            fields={"unit": unit},
        ) from error


def _modules(context: Context) -> Iterator[Step]:
    modules = context.configuration.os.modules
    if modules:
        yield Step(
            "os-config/modules",
            Phase.CONFIGURE,
            "configuring kernel modules",
            _configure_modules,
            tuple(
                Effect(Verb.CHANGE, f"kernel module {module.name}", _module_detail(module))
                for module in modules
            ),
        )


def _module_detail(module: Module) -> str:
    options = " ".join(f"{key}={value}" for key, value in module.options.items())
    return f"{module.load_mode} {options}".strip()


def _configure_modules(context: Context) -> None:
    for path, text in module_files(context.newroot, context.configuration.os.modules).items():
        target = context.newroot / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        files.write(target, text, mode=0o644)
