"""What is put on a medium for the installer: Host Configurations and images, checked beforehand.

A medium that would stop at the machine must not be written: the same rules that the agent applies
there are applied here, and an embedded image must be the one that its configuration names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.api import load
from agent.api.errors import Kind, TridentError, context
from agent.api.hostconfig import HostConfiguration
from agent.api.parttypes import Architecture
from agent.check import findings, support, validate
from agent.cosi.fit import fit
from agent.cosi.reader import open_image
from agent.cosi.source import Source, open_source
from agent.medium import images, layout

_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}", re.IGNORECASE)


@dataclass(frozen=True)
class Configuration:
    """A Host Configuration for one machine, or for every machine (`machine` is None)."""

    machine: str | None
    file: Path

    @property
    def name(self) -> str:
        """Its name on the medium."""
        if self.machine is None:
            return layout.CONFIGURATION
        return f"{layout.CONFIGURATIONS}/{machine_name(self.machine)}.yaml"


@dataclass(frozen=True)
class Checked:
    """Configurations that may be embedded: their texts by their names on the medium."""

    texts: Mapping[str, bytes]
    needs_address: bool
    """One of them fetches its image and does not say how to get an address."""


def machine_name(text: str) -> str:
    """How a machine is named on a medium: MAC address with dashes, serial number or UUID.

    Raises machine-name.
    """
    if _MAC.fullmatch(text):
        return text.lower().replace(":", "-")
    if not _MACHINE.fullmatch(text):
        raise TridentError(
            Kind.INVALID_INPUT,
            "machine-name",
            f"{text!r} is no MAC address, serial number or UUID of a machine",
            hint="use the address of one of its network interfaces, or what "
            "/sys/class/dmi/id/product_serial or product_uuid say there",
        )
    return text.lower()


def check_configurations(
    configurations: Sequence[Configuration], digests: Mapping[str, str]
) -> Checked:
    """Read and check configurations; `digests` has the SHA-384 of every embedded image's metadata.

    Raises read-input-file, parse-host-configuration, image-not-embedded, machine-name and what the
    rules find.
    """
    texts: dict[str, bytes] = {}
    needs_address = False
    for one in configurations:
        text = load.read_file(one.file)
        with context(f"checking the Host Configuration {one.file}"):
            configuration = _checked(text)
            if configuration.image is not None:
                images.require(configuration.image, digests)
        if one.name in texts:
            raise _twice(one)
        texts[one.name] = text
        needs_address = needs_address or _needs_address(configuration)
    return Checked(texts, needs_address)


def digests(images: Sequence[Path]) -> Mapping[str, str]:
    """The SHA-384 of each image's metadata, by file name.

    Raises corrupt-os-image, load-cosi, image-not-embedded.
    """
    found: dict[str, str] = {}
    for path in images:
        if path.name in found:
            raise _same_name(path)
        with open_source(path.absolute().as_uri()) as source:
            found[path.name] = open_image(source, None).metadata_sha384
    return found


def require_fit(
    configurations: Sequence[Configuration], opened: Callable[[str], Source | None]
) -> None:
    """Compare every checked configuration with the embedded image it names.

    `opened` opens an embedded image by its name, or tells that it cannot be looked at (None).
    Raises what `agent.cosi.fit` finds.
    """
    for one in configurations:
        configuration = load.load_file(one.file)
        name = images.name(configuration.image) if configuration.image else None
        source = opened(name) if name is not None else None
        if source is None:
            continue
        with (
            context(f"comparing the Host Configuration {one.file} with the image {name}"),
            source,
        ):
            metadata = open_image(source, None).metadata
            findings.require_clean(fit(configuration, metadata, architecture=Architecture.X86_64))


def _checked(text: bytes) -> HostConfiguration:
    loaded = load.load_document(text)
    configuration = loaded.configuration
    found = [
        *validate.validate(configuration, loaded.positions),
        *support.unsupported(configuration),
    ]
    findings.require_clean(found)
    if configuration.image is None:
        raise TridentError(
            Kind.INVALID_INPUT,
            "image-not-embedded",
            "the Host Configuration names no image to install",
            hint=f"add image: {{url: {layout.image_url('NAME.cosi')}, sha384: ...}}",
        )
    return configuration


def _needs_address(configuration: HostConfiguration) -> bool:
    netplan = configuration.management_os.netplan or configuration.os.netplan
    image = configuration.image
    return netplan is None and image is not None and images.name(image) is None


def _twice(one: Configuration) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "machine-name",
        f"two Host Configurations are given for {one.machine or 'every machine'}",
        hint="give one for each machine, and at most one for all others",
    )


def _same_name(path: Path) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "image-not-embedded",
        f"two images are called {path.name}",
        hint="rename one of them: all lie in one folder of the medium",
    )
