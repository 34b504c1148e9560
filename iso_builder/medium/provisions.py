"""Reads and checks what an operator wants a medium to bring for the live system.

What could only fail at the machine is refused here: a script that no interpreter is named for, a
netplan that is none, certificates that cannot be read, paths that are none.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import ssl
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from agent.api import yamltext
from agent.api.errors import Kind, TridentError, unreadable
from agent.api.osconfig import Netplan
from agent.medium.provisions import LiveFile, Provisions

_FILE = re.compile(r"(?P<source>.+?):(?P<path>/[^:]*)(:(?P<mode>0?[0-7]{3}))?")
_KERNEL_FOLDERS = ("/proc", "/sys", "/dev")
_LONGEST_PATH = 180


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that `read` understands."""
    command.add_argument(
        "--pre-install",
        type=Path,
        metavar="FILE",
        help="script that runs in the live system before the installation, which it can stop",
    )
    command.add_argument(
        "--network", type=Path, metavar="FILE", help="netplan file of the live system"
    )
    command.add_argument(
        "--ca", type=Path, metavar="FILE", help="certificates (PEM) that the installer trusts"
    )
    command.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE:/PATH[:MODE]",
        help="file of the live system; its mode is 0644 unless given",
    )


def read(arguments: argparse.Namespace) -> Provisions:
    """What the options ask for.

    Raises read-input-file, pre-install-script, network-settings, certificate-authority, live-file.
    """
    return Provisions(
        script=None if arguments.pre_install is None else script(arguments.pre_install),
        network=None if arguments.network is None else network(arguments.network),
        authority=None if arguments.ca is None else authority(arguments.ca),
        files=live_files(arguments.file),
    )


def script(path: Path) -> bytes:
    """A script. Raises read-input-file, pre-install-script."""
    data = _content(path)
    if not data.startswith(b"#!/"):
        raise TridentError(
            Kind.INVALID_INPUT,
            "pre-install-script",
            f"{path} does not begin with #! and the path of its interpreter",
            hint="write, for example, #!/bin/sh into its first line",
        )
    return data


def network(path: Path) -> bytes:
    """A netplan file. Raises read-input-file, network-settings."""
    data = _content(path)
    try:
        value = yamltext.parse(data.decode()).value
        body = value.get("network") if isinstance(value, dict) else None
        Netplan.model_validate(body)
    except UnicodeDecodeError as error:
        raise _no_netplan(path, "it is not UTF-8 text") from error
    except yamltext.YamlError as error:
        raise _no_netplan(path, error.message) from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("network", *found["loc"])))
        raise _no_netplan(path, f"{place}: {found['msg']}") from error
    return data


def authority(path: Path) -> bytes:
    """Certificates. Raises read-input-file, certificate-authority."""
    data = _content(path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=data.decode("ascii"))
        count = len(context.get_ca_certs())
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise _no_certificates(path, str(error)) from error
    if count == 0:
        raise _no_certificates(path, "it holds none of a certificate authority")
    return data


def live_files(words: Sequence[str]) -> dict[str, LiveFile]:
    """Files by their paths in the live system. Raises read-input-file, live-file."""
    found: dict[str, LiveFile] = {}
    for word in words:
        match = _FILE.fullmatch(word)
        if match is None:
            raise _no_file(word, "it is not FILE:/PATH or FILE:/PATH:MODE")
        path = match["path"]
        if posixpath.normpath(path) != path or path == "/" or path.startswith("//"):
            raise _no_file(word, f"{path} is no path of a file")
        if path.startswith(tuple(f"{folder}/" for folder in _KERNEL_FOLDERS)):
            raise _no_file(word, f"{path} is in a folder of the kernel")
        if len(path.encode()) > _LONGEST_PATH:
            raise _no_file(word, f"the path has more than {_LONGEST_PATH} bytes")
        if path in found:
            raise _no_file(word, f"{path} is given twice")
        found[path] = LiveFile(_content(Path(match["source"])), int(match["mode"] or "644", 8))
    return found


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error.strerror, "name a readable file") from error


def _no_netplan(path: Path, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "network-settings",
        f"{path} is no netplan file: {why}",
        hint="write netplan version 2: {network: {version: 2, ethernets: ...}}",
    )


def _no_certificates(path: Path, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "certificate-authority",
        f"{path} holds no certificates to trust: {why}",
        hint="give the authority's own certificate in PEM form (-----BEGIN CERTIFICATE-----)",
    )


def _no_file(word: str, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "live-file",
        f"--file {word}: {why}",
        hint="see trident-iso customize --help",
    )
