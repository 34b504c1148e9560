"""Images on a medium, and the Host Configurations that name them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from agent.api.errors import Kind, TridentError
from agent.api.hostconfig import Image
from agent.medium import layout


def name(image: Image) -> str | None:
    """The file name of the embedded image that a configuration names; None for a fetched one.

    Raises image-not-embedded for a file that would be elsewhere.
    """
    parts = urlsplit(image.url)
    if parts.scheme != "file":
        return None
    path = PurePosixPath(unquote(parts.path))
    if path.parent != PurePosixPath(layout.MOUNT_POINT, layout.IMAGES):
        raise _not_embedded(image.url, f"{path} is not on the medium")
    return path.name


def require(image: Image, digests: Mapping[str, str]) -> None:
    """Compare a configuration's image with those on the medium, if it is to be there.

    `digests` has the SHA-384 of each one's metadata. Raises image-not-embedded, image-digest.
    """
    wanted = name(image)
    if wanted is None:
        return
    if wanted not in digests:
        raise _not_embedded(image.url, f"the medium has no image {wanted}")
    expected = image.expected_sha384
    if expected is not None and expected.lower() != digests[wanted]:
        raise TridentError(
            Kind.INVALID_INPUT,
            "image-digest",
            f"image.sha384 is {expected}, but the metadata of {wanted} has {digests[wanted]}",
            hint="embed the image that was meant, or correct image.sha384",
        )


def _not_embedded(url: str, why: str) -> TridentError:
    return TridentError(
        Kind.INVALID_INPUT,
        "image-not-embedded",
        f"image.url is {url}, but {why}",
        hint=f"embed it with --image NAME.cosi and set image.url: {layout.image_url('NAME.cosi')}",
    )
