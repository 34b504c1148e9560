"""Boot scripts over HTTP: iPXE per machine, GRUB's static config and the one per machine."""

from __future__ import annotations

from flask import Blueprint, Response, request

from bootserver.http.asking import only_looks
from bootserver.http.refusal import parse_mac
from bootserver.reports.state import BootStarted
from bootserver.services import Services
from bootserver.store import Note


def blueprint(services: Services) -> Blueprint:
    """`/ipxe/<mac>`, `/grub/...` and `/healthz`."""
    routes = Blueprint("boot", __name__)

    @routes.get("/ipxe/<mac_text>")
    def ipxe(mac_text: str) -> Response:
        mac = parse_mac(mac_text)
        serial = request.args.get("serial")
        if not only_looks():
            services.observer.saw(mac, request.remote_addr or "", serial)
        script = services.scripts.ipxe(mac, asked_for_serial=serial is not None)
        if not only_looks():
            reports = (BootStarted(),) if script.installs else ()
            note = Note("http", "script", {"path": request.path, "installs": script.installs})
            services.store.apply(mac, reports, (note,))
        return _text(script.text)

    @routes.get("/grub/grub.cfg")
    def grub_static() -> Response:
        return _text(services.scripts.grub_static())

    @routes.get("/grub/host/<mac_text>.cfg")
    def grub_host(mac_text: str) -> Response:
        return _text(services.scripts.grub(parse_mac(mac_text)))

    @routes.get("/healthz")
    def healthz() -> Response:
        return _text("ok\n")

    return routes


def _text(body: str) -> Response:
    return Response(body, content_type="text/plain; charset=utf-8")
