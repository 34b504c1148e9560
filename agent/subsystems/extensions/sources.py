"""Where extension images come from: this host, when it has one with the hash, or the network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from agent.api.errors import Kind, TridentError
from agent.api.extensions import Wanted
from agent.cosi import fetch
from agent.cosi.http_policy import redact
from agent.cosi.source import Source, open_source
from agent.engine.context import Context
from agent.linux import files
from agent.subsystems.extensions import store
from agent.subsystems.extensions.store import Placed

OPEN_PATIENCE_S = 60.0
"""How long a server that cannot be reached is tried before anything is done."""
RUNNING = Path("/")
_ABOUT_THE_SOURCE = ("load-cosi", "image-url-scheme")


def size_to_fetch(item: Wanted, context: Context, known: Sequence[Placed]) -> int | None:
    """Bytes that come over the network; None: the running system has the image.

    Raises load-extension-image when it cannot be had.
    """
    if store.local(RUNNING, item, known) is not None:
        return None
    with _opened(item, context) as source:
        return source.size


def obtain(item: Wanted, context: Context, known: Sequence[Placed], root: Path) -> Path:
    """Have the image staged below `root`, with the right hash; where it is.

    Raises load-extension-image, servicing/set-up-extension-images.
    """
    target = store.staged(root, item.sha384)
    here = store.local(RUNNING, item, known)
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if here is None:
            with _opened(item, context) as source:
                _fetch(source, target, item, context)
        elif here != target:
            files.copy(here, target, mode=store.MODE)
    except OSError as error:
        raise TridentError(
            Kind.SERVICING,
            "set-up-extension-images",
            f"{target} could not be written: {error.strerror}",
            hint=f"check the file system of {store.STAGING}: its room, and whether it is writable",
            fields={"path": str(target)},
        ) from error
    return target


def require_room(needed_bytes: int) -> None:
    """Raise unless the running system's staging folder can take this much more."""
    folder = store.STAGING
    while not folder.is_dir():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise TridentError(
            Kind.SERVICING,
            "set-up-extension-images",
            f"the extension images need {needed_bytes} bytes, {folder} has {free_bytes} left",
            hint=f"make room on the file system of {folder}",
            fields={"path": str(folder)},
        )


def _fetch(source: Source, target: Path, item: Wanted, context: Context) -> None:
    try:
        fetch.fetch(source, target, item.sha384, context.progress)
    except TridentError as error:
        raise _named(item, error) from error


def _opened(item: Wanted, context: Context) -> Source:
    timeout_s = context.configuration.internal_params.http_connection_timeout_seconds
    try:
        return open_source(
            item.extension.url, connect_timeout_s=timeout_s, open_patience_s=OPEN_PATIENCE_S
        )
    except TridentError as error:
        raise _named(item, error) from error


def _named(item: Wanted, error: TridentError) -> TridentError:
    """What is wrong with a source, said of the extension image; other errors as they are."""
    if error.code not in _ABOUT_THE_SOURCE:
        return error
    return TridentError(
        Kind.INVALID_INPUT,
        "load-extension-image",
        f"the {item.kind} {item.file_name} cannot be had: {error.message}",
        hint=f"check url and sha384 in os.{item.kind.section}, and the server",
        fields={"url": redact(item.extension.url), "sha384": item.sha384},
    )
