"""Host Statuses of early upstream releases, in today's form. Works on plain values; pure."""

from __future__ import annotations

from pydantic import JsonValue

from agent.api.hostconfig import IGNORED

Plain = dict[str, JsonValue]


def modernise(status: JsonValue) -> JsonValue:
    """The status with its configurations in today's form; what cannot be translated stays."""
    if not isinstance(status, dict):
        return status
    specs = {key: _spec(status[key]) for key in ("spec", "specOld") if key in status}
    return status | specs


def _spec(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        return value
    spec = dict(value)
    image = spec.pop("osImage", None)
    if isinstance(image, dict):
        spec["image"] = _without(image, "type") | {"sha384": IGNORED}
    os = spec.get("os")
    if isinstance(os, dict) and "network" in os:
        spec["os"] = _without(os, "network") | {"netplan": os["network"]}
    trident = spec.get("trident")
    if isinstance(trident, dict):
        spec["trident"] = _without(trident, "selfUpgrade")
    storage = spec.get("storage")
    if isinstance(storage, dict):
        spec["storage"] = _storage(storage)
    return spec


def _storage(old: Plain) -> Plain:
    """Filesystems had a mapping as source, and verity was a kind of filesystem."""
    storage = dict(old)
    filesystems = [_filesystem(fs) for fs in _list(storage.get("filesystems"))]
    verity = _list(storage.get("verity"))
    for index, fs in enumerate(_list(storage.pop("verityFilesystems", None))):
        if isinstance(fs, dict):
            device = f"verity{index}"
            identity: Plain = {"id": device}
            verity.append(identity | _without(fs, "mountPoint"))
            filesystems.append({"deviceId": device, "mountPoint": fs.get("mountPoint")})
    if filesystems:
        storage["filesystems"] = filesystems
    if verity:
        storage["verity"] = verity
    return storage


def _filesystem(fs: JsonValue) -> JsonValue:
    """A source that is a mapping meant an image, whose type today's form does not state.

    One that was newly created has no counterpart and stays, to be refused.
    """
    if not isinstance(fs, dict):
        return fs
    source = fs.get("source")
    if not isinstance(source, dict) or source.get("type") in ("create", "new"):
        return fs
    return _without(fs, "source", "type")


def _without(mapping: Plain, *keys: str) -> Plain:
    return {key: value for key, value in mapping.items() if key not in keys}


def _list(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list) else []
