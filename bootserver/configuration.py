"""A machine's Host Configuration: checked when it is stored, completed when it is handed out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import JsonValue

from agent.api import load, yamltext
from agent.api.errors import TridentError
from agent.api.hostconfig import Image
from agent.check import validate
from agent.check.findings import Finding
from agent.cosi.reader import open_image
from agent.cosi.source import open_source
from bootserver.settings import Settings

PLACEHOLDER: Final = "NETLAUNCH_HOST_ADDRESS"
"""Upstream's word for the server's `host:port`."""
_PATIENCE_S: Final = 5.0
_KEPT: Final = 1024


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a Host Configuration: errors refuse it, warnings do not."""

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """The parts of the settings that a Host Configuration refers to."""

    authority: str
    """`host:port` of the HTTP server."""
    files: Path

    @classmethod
    def of(cls, settings: Settings) -> Place:
        return cls(settings.authority, settings.files)


def resolve(text: str, place: Place) -> str:
    """The text with the server's address filled in."""
    return text.replace(PLACEHOLDER, place.authority)


def complete(text: str, mac: str, place: Place) -> str:
    """The Host Configuration as handed out: YAML that reports to this server unless it says where.

    Needs: `text` was accepted by `check`. Raises invalid-input/parse-host-configuration.
    """
    try:
        value = yamltext.parse(resolve(text, place)).value
    except yamltext.YamlError as error:
        raise load.ParseError([load.Problem(error.message, mark=error.mark)]) from error
    document = dict(value) if isinstance(value, dict) else {}
    section = document.get("trident")
    trident: dict[str, JsonValue] = dict(section) if isinstance(section, dict) else {}
    for report in ("phonehome", "logstream"):
        if trident.get(report) is None:
            trident[report] = f"http://{place.authority}/v1/hosts/{mac}/{report}"
    return yamltext.dump({**document, "trident": trident})


def check(text: str, place: Place, *, remote_images: bool = False) -> Verdict:
    """All that is wrong with a Host Configuration, its image's metadata digest included.

    An image on another server is only looked at with `remote_images`; that can take seconds.
    Without it a repeated check costs next to nothing while text and image stay the same.
    """
    static, image = _check_text(text, place)
    if image is None or image.expected_sha384 is None:
        return static
    path = local_image(image.url, place)
    if path is not None:
        found = _check_file(path, _stamp(path), image.expected_sha384)
    elif remote_images and image.url.startswith(("http:", "https:")):
        found = _check_image(image.url, image.expected_sha384)
    else:
        return static
    return Verdict(static.errors + found.errors, static.warnings + found.warnings)


def local_image(url: str, place: Place) -> Path | None:
    """The file under our own `/files/` that an image URL names; None for other URLs."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.netloc != place.authority:
        return None
    path = unquote(parts.path)
    if not path.startswith("/files/") or ".." in path.split("/"):
        return None
    return place.files / path.removeprefix("/files/").lstrip("/")


@lru_cache(maxsize=_KEPT)
def _check_text(text: str, place: Place) -> tuple[Verdict, Image | None]:
    try:
        loaded = load.load_document(resolve(text, place))
    except load.ParseError as error:
        return Verdict(tuple(str(problem) for problem in error.problems)), None
    findings = validate.validate(loaded.configuration, loaded.positions)
    verdict = Verdict(
        errors=tuple(_line(finding) for finding in findings if finding.is_error),
        warnings=tuple(_line(finding) for finding in findings if not finding.is_error),
    )
    return verdict, loaded.configuration.image


def _line(finding: Finding) -> str:
    place = f"line {finding.line}: " if finding.line is not None else ""
    subject = f"{finding.path}: " if finding.path else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{place}{subject}{finding.message}{hint}"


@lru_cache(maxsize=_KEPT)
def _check_file(path: Path, _version: tuple[int, ...], expected_sha384: str) -> Verdict:
    return _check_image(path.absolute().as_uri(), expected_sha384)


def _check_image(url: str, expected_sha384: str) -> Verdict:
    """Only a wrong digest refuses: an image may be put in its place later."""
    try:
        with open_source(url, open_patience_s=_PATIENCE_S) as source:
            found = open_image(source, None).metadata_sha384
    except TridentError as error:
        return Verdict(warnings=(f"image.url: {error.message}",))
    if found == expected_sha384:
        return Verdict()
    wrong = (
        f"image.sha384: the metadata of {url} has the SHA-384 {found}, not {expected_sha384}; "
        "correct image.sha384 or serve the right image"
    )
    return Verdict(errors=(wrong,))


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes whenever the file does."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns)
