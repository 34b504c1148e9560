"""The OS image of a Host Configuration: opened for a run, pinned by its hash, compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import HostConfiguration
from agent.check import diff
from agent.cosi import reader
from agent.cosi.reader import CosiImage
from agent.servicing import checks


@contextmanager
def opened(configuration: HostConfiguration) -> Iterator[CosiImage]:
    """The OS image, its metadata checked. Raises missing-os-image, load-cosi, corrupt-os-image."""
    image = configuration.image
    if image is None:
        raise TridentError(
            Kind.INVALID_INPUT,
            "missing-os-image",
            "the Host Configuration names no image",
            hint="set image.url and image.sha384",
        )
    with checks.source(configuration, image.url) as source:
        yield reader.open_image(source, image.expected_sha384)


def pinned(configuration: HostConfiguration, image: CosiImage) -> HostConfiguration:
    """The configuration with the image's real metadata hash in place of `ignored`."""
    if configuration.image is None:
        return configuration
    pin = configuration.image.model_copy(update={"sha384": image.metadata_sha384})
    return configuration.model_copy(update={"image": pin})


def require_same(configuration: HostConfiguration, staged: HostConfiguration) -> None:
    """Raise staged-configuration-changed unless both are the same; `ignored` matches any hash.

    What staging found out (the places of extension images) may be missing.
    """
    image, pin = configuration.image, staged.image
    same_image = image == pin or (image and pin and image.expected_sha384 in (None, pin.sha384))
    known = diff.with_known_paths(configuration, staged).model_copy(update={"image": pin})
    if not same_image or known != staged:
        raise TridentError(
            Kind.INVALID_INPUT,
            "staged-configuration-changed",
            "the Host Configuration is not the one that was staged",
            hint="finalize with the staged Host Configuration, or stage again",
        )
