"""The door: `trident-bootserver` on the command line. Turns errors into exit statuses.

0: done; 1: it failed, the reason is on standard error; 2: the command line could not be understood.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue, ValidationError

import agent
from agent.api import yamltext
from agent.api.errors import Kind, TridentError
from bootserver import configuration
from bootserver import settings as settings_file
from bootserver.configuration import Place
from bootserver.documents import read_text
from bootserver.hosts import Declaration, declaration_of
from bootserver.machines import list_machines, show_machine
from bootserver.services import Services
from bootserver.settings import Loader, Settings, normalize_mac

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

OK, FAILED = 0, 1
DEFAULT_SETTINGS: Final = Path("/etc/trident-bootserver/config.yaml")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(
        level=getattr(logging, arguments.log_level.upper()),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        return _run(arguments, settings_file.load(arguments.config))
    except TridentError as error:
        print(error.render(), file=sys.stderr)
        return FAILED


def parser() -> argparse.ArgumentParser:
    """The command line grammar."""
    top = argparse.ArgumentParser(
        prog="trident-bootserver",
        description="network boot server: DHCP, TFTP, DNS and HTTP for unattended installation",
    )
    top.add_argument("-V", "--version", action="version", version=f"%(prog)s {agent.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_SETTINGS,
        metavar="FILE",
        help="settings file (default: %(default)s)",
    )
    common.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("serve", parents=[common], help="serve until stopped")
    commands.add_parser(
        "check",
        parents=[common],
        help="fetch, as a client, all that each declared machine would be given",
    )
    hosts = commands.add_parser("hosts", help="declare machines and look at them")
    _add_hosts(hosts.add_subparsers(dest="action", metavar="ACTION", required=True), common)
    return top


def _add_hosts(actions: _Commands, common: argparse.ArgumentParser) -> None:
    add = actions.add_parser("add", parents=[common], help="declare a machine, or change it")
    add.add_argument("mac", type=_mac)
    add.add_argument("--name", help="host name")
    add.add_argument("--address", help="reserved IPv4 address")
    add.add_argument("--serial", help="serial number, for groups")
    add.add_argument("--loader", choices=[loader.value for loader in Loader])
    add.add_argument(
        "--kernel-argument", action="append", default=[], metavar="WORD", help="may be repeated"
    )
    add.add_argument("--host-config", type=Path, metavar="FILE", help="what to install")
    listing = actions.add_parser("list", parents=[common], help="all machines, declared or seen")
    listing.add_argument("--json", action="store_true")
    for action, text in (
        ("show", "everything about one machine, as JSON"),
        ("remove", "forget a declaration made by `hosts add`"),
        ("reinstall", "allow one more installation of an installed machine"),
    ):
        one = actions.add_parser(action, parents=[common], help=text)
        one.add_argument("mac", type=_mac)


def _mac(text: str) -> str:
    try:
        return normalize_mac(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.command == "serve":
        return _serve(settings)
    if arguments.command == "check":
        from bootserver import check

        return check.run(settings, sys.stdout)
    services = Services.open(settings)
    try:
        return _HOSTS[arguments.action](services, arguments)
    finally:
        services.database.close()


def _serve(settings: Settings) -> int:
    from bootserver import app, process

    def ready() -> None:
        print(f"serving {settings.base_url}", flush=True)
        process.notify_ready()

    app.serve(settings, ready=ready)
    return OK


def _add(services: Services, arguments: argparse.Namespace) -> int:
    """Store a declaration whose Host Configuration is right; else say all that is wrong."""
    declaration = _declaration(arguments)
    services.hosts.load()
    host = services.hosts.resolve(declaration, services.store.record(declaration.mac))
    verdict = host.verdict
    if host.configuration is not None:
        place = Place.of(services.settings)
        verdict = configuration.check(host.configuration, place, remote_images=True)
    for line in verdict.warnings:
        print(f"warning: {line}", file=sys.stderr)
    if verdict.errors:
        raise TridentError(
            Kind.INVALID_INPUT,
            "host-configuration-refused",
            "\n  ".join([f"{declaration.mac}: its Host Configuration is refused", *verdict.errors]),
            hint="correct it and add the machine again; nothing was stored",
        )
    services.store.declare(declaration.mac, declaration_of(declaration))
    print(f"declared {declaration.mac}")
    return OK


def _declaration(arguments: argparse.Namespace) -> Declaration:
    values = {
        "mac": arguments.mac,
        "name": arguments.name,
        "address": arguments.address,
        "serial": arguments.serial,
        "loader": arguments.loader,
        "kernel_arguments": tuple(arguments.kernel_argument),
        "host_configuration": _read_configuration(arguments.host_config),
    }
    try:
        return Declaration.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TridentError(
            Kind.INVALID_INPUT,
            "invalid-host-declaration",
            f"{first['loc'][0]}: {first['msg']}",
            hint="see trident-bootserver hosts add --help",
        ) from error


def _read_configuration(path: Path | None) -> JsonValue:
    if path is None:
        return None
    try:
        return yamltext.parse(read_text(path)).value
    except yamltext.YamlError as error:
        line = f":{error.mark.line}" if error.mark else ""
        raise TridentError(
            Kind.INVALID_INPUT,
            "parse-host-configuration",
            f"{path}{line}: {error.message}",
            hint=f"correct {path}",
        ) from error


def _list(services: Services, arguments: argparse.Namespace) -> int:
    machines = list_machines(services)
    if arguments.json:
        print(json.dumps(machines, indent=2))
        return OK
    print(f"{'MAC':17}  {'STATE':11}  {'ADDRESS':15}  NAME")
    for machine in machines:
        name = machine["name"] or ("" if machine["declared"] else "(not declared)")
        print(f"{machine['mac']}  {machine['state']:11}  {machine['address'] or '':15}  {name}")
    return OK


def _show(services: Services, arguments: argparse.Namespace) -> int:
    shown = show_machine(services, arguments.mac)
    if shown is None:
        raise _unknown(arguments.mac)
    print(json.dumps(shown, indent=2))
    return OK


def _remove(services: Services, arguments: argparse.Namespace) -> int:
    if not services.store.remove(arguments.mac):
        hint = "machines declared in files are removed there"
        raise _unknown(arguments.mac, "was not declared by `hosts add`", hint)
    print(f"removed {arguments.mac}")
    return OK


def _reinstall(services: Services, arguments: argparse.Namespace) -> int:
    mac = arguments.mac
    if services.hosts.find(mac, None) is None:
        raise _unknown(mac, "is not declared")
    services.store.grant_reinstall(mac)
    print(f"{mac} is installed again when it boots from the network next")
    return OK


_HOSTS: Final = {
    "add": _add,
    "list": _list,
    "show": _show,
    "remove": _remove,
    "reinstall": _reinstall,
}


def _unknown(
    mac: str,
    what: str = "was never seen nor declared",
    hint: str = "see trident-bootserver hosts list",
) -> TridentError:
    return TridentError(Kind.INVALID_INPUT, "unknown-machine", f"{mac} {what}", hint=hint)


if __name__ == "__main__":
    sys.exit(main())
