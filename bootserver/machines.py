"""The machines as JSON values: what the HTTP API and the command line show."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import JsonValue

from agent.api.errors import TridentError
from bootserver.hosts import Host
from bootserver.media.media import NoImage
from bootserver.reports.state import Progress, Record
from bootserver.services import Services
from bootserver.store import Entry


def list_machines(services: Services) -> list[dict[str, JsonValue]]:
    """All machines, declared or seen, by MAC: what `show_machine` has but status and timeline."""
    records = {record.mac: record for record in services.store.records()}
    hosts = {host.mac: host for host in services.hosts.all()}
    return [
        _summary(services, mac, hosts.get(mac), records.get(mac))
        for mac in sorted(records.keys() | hosts.keys())
    ]


def show_machine(services: Services, mac: str) -> dict[str, JsonValue] | None:
    """Everything about one machine; None when it was never seen nor declared."""
    record = services.store.record(mac)
    host = services.hosts.find(mac, record)
    if record is None and host is None:
        return None
    return {
        **_summary(services, mac, host, record),
        "iso": _iso(services, mac) if host is not None and services.media.are_served else None,
        "hostStatus": record.host_status if record else None,
        "timeline": [_entry(entry) for entry in services.store.timeline(mac)],
    }


def _summary(
    services: Services, mac: str, host: Host | None, record: Record | None
) -> dict[str, JsonValue]:
    known = record or Record(mac)
    return {
        "mac": mac,
        "name": host.name if host else None,
        "declared": host is not None,
        "state": known.shown_state(host is not None).value,
        "architecture": known.architecture,
        "uuid": known.uuid,
        "address": known.address,
        "reinstall": services.store.has_grant(mac),
        "lastError": dict(known.last_error) if known.last_error else _refused(host),
        "progress": _progress(known.progress),
    }


def _iso(services: Services, mac: str) -> JsonValue:
    """The machine's installation medium as it is served now, or why there is none."""
    url = services.media.url(mac)
    try:
        image = services.media.of(mac)
        if isinstance(image, NoImage):
            return {"url": url, "problem": image.error}
        sha384 = services.media.sha384(image)
    except TridentError as error:
        return {"url": url, "problem": error.one_line()}
    return {"url": url, "installs": image.installs, "size": image.size, "sha384": sha384}


def _refused(host: Host | None) -> dict[str, JsonValue] | None:
    if host is None or host.problem is None:
        return None
    return {
        "kind": "invalid-input",
        "code": "host-configuration-refused",
        "message": host.problem,
        "hint": "correct the declaration",
    }


def _progress(progress: Progress | None) -> JsonValue:
    if progress is None:
        return None
    return {
        "step": progress.step,
        "doneBytes": progress.done_bytes,
        "totalBytes": progress.total_bytes,
    }


def _entry(entry: Entry) -> JsonValue:
    return {**asdict(entry), "detail": dict(entry.detail)}
