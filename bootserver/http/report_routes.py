"""The agents' reports: upstream's phonehome, logstream and tracestream, and our own events.

A machine is named in the URL, or found by its address on upstream's paths. Reports of machines that
nobody declared or saw are refused by MAC and dropped by address: they would fill the disk.
"""

from __future__ import annotations

import logging
from typing import Final

from flask import Blueprint, Response, request
from gunicorn.http.errors import ParseException
from pydantic import JsonValue, TypeAdapter, ValidationError

from agent.api import events
from agent.api.events import Event
from bootserver.http.refusal import Refusal, parse_mac
from bootserver.reports.files import Stream
from bootserver.reports.state import PhoneHome, worth_recording
from bootserver.services import Services
from bootserver.store import Note

_LOG = logging.getLogger(__name__)
_RECORD: Final = TypeAdapter(dict[str, JsonValue])


def blueprint(services: Services) -> Blueprint:
    """The report endpoints, with the MAC in the URL and without."""
    routes = Blueprint("reports", __name__)

    @routes.post("/v1/hosts/<mac_text>/phonehome")
    @routes.post("/phonehome")
    def phonehome(mac_text: str | None = None) -> Response:
        report = _parse_phone_home(_body())
        mac = _machine(services, mac_text)
        if mac is not None:
            detail: dict[str, JsonValue] = {"message": report.message}
            note = Note("agent", f"phonehome-{report.state}", detail)
            services.store.apply(mac, (report,), (note,))
        _LOG.info("mac=%s phonehome %s: %s", mac, report.state, report.message)
        return _accepted()

    @routes.post("/v1/hosts/<mac_text>/logstream")
    @routes.post("/logstream")
    def logstream(mac_text: str | None = None) -> Response:
        return _keep(services, mac_text, "log")

    @routes.post("/v1/hosts/<mac_text>/tracestream")
    @routes.post("/tracestream")
    def tracestream(mac_text: str | None = None) -> Response:
        return _keep(services, mac_text, "trace")

    @routes.post("/v1/hosts/<mac_text>/events")
    @routes.post("/events")
    def agent_event(mac_text: str | None = None) -> Response:
        try:
            event = events.parse_json(_body())
        except ValidationError as error:
            raise _malformed("event", error) from error
        mac = _machine(services, mac_text)
        if mac is not None:
            _apply(services, mac, event)
        return _accepted()

    return routes


def _machine(services: Services, mac_text: str | None) -> str | None:
    """MAC of the reporting machine; None when it is found by neither MAC nor address."""
    address = request.remote_addr or ""
    if mac_text is None:
        mac = services.observer.machine_at(address)
        if mac is None:
            _LOG.warning("a report from %s, which is no known machine, is dropped", address)
        return mac
    mac = parse_mac(mac_text)
    record = services.store.record(mac)
    if record is None and services.hosts.find(mac, record) is None:
        raise Refusal(404, f"{mac} was never seen nor declared", "declare the machine first")
    services.observer.saw(mac, address)
    return mac


def _body() -> bytes:
    """The request's body. Raises Refusal when it breaks off or is badly framed."""
    try:
        return request.get_data()
    except (OSError, ParseException) as error:
        raise Refusal(400, "the body cannot be read", "send it with its length") from error


def _parse_phone_home(body: bytes) -> PhoneHome:
    try:
        return PhoneHome.model_validate_json(body)
    except ValidationError as error:
        raise _malformed("phonehome report", error) from error


def _keep(services: Services, mac_text: str | None, stream: Stream) -> Response:
    try:
        record = _RECORD.validate_json(_body())
    except ValidationError as error:
        raise _malformed(f"{stream} record", error) from error
    mac = _machine(services, mac_text)
    if mac is not None:
        services.report_files.append(mac, stream, record)
    return _accepted()


def _apply(services: Services, mac: str, event: Event) -> None:
    """The entry has our time; the machine's clock, which may be wrong, is in the detail."""
    record = services.store.record(mac)
    detail: dict[str, JsonValue] = event.model_dump(mode="json", by_alias=True, exclude={"type"})
    keep = worth_recording(record.progress if record else None, event)
    key = f"{event.run}/{event.sequence}"
    notes = (Note("agent", event.type, detail, key=key),) if keep else ()
    services.store.apply(mac, (event,), notes)
    level = logging.INFO if keep else logging.DEBUG
    _LOG.log(level, "mac=%s agent %s %s", mac, event.type, detail)


def _malformed(what: str, error: ValidationError) -> Refusal:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "body"
    return Refusal(400, f"not a valid {what}: {place}: {first['msg']}", "send the documented JSON")


def _accepted() -> Response:
    return Response("OK\n", status=201, content_type="text/plain; charset=utf-8")
