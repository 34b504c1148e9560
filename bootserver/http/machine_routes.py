"""The machines as JSON, and the Host Configuration of a machine that is to be installed."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from bootserver import configuration
from bootserver.configuration import Place
from bootserver.http.asking import only_looks
from bootserver.http.refusal import Refusal, parse_mac
from bootserver.machines import list_machines, show_machine
from bootserver.services import Services
from bootserver.store import Note

REINSTALL = "Trident-Reinstall"
"""The header that tells a medium that this machine is to be installed again."""


def blueprint(services: Services) -> Blueprint:
    """`/v1/hosts`, `/v1/hosts/<mac>` and `/v1/hosts/<mac>/config`."""
    routes = Blueprint("machines", __name__)

    @routes.get("/v1/hosts")
    def machines() -> Response:
        return jsonify(list_machines(services))

    @routes.get("/v1/hosts/<mac_text>")
    def machine(mac_text: str) -> Response:
        mac = parse_mac(mac_text)
        shown = show_machine(services, mac)
        if shown is None:
            raise Refusal(404, f"no machine {mac} was seen or declared", "check the MAC address")
        return jsonify(shown)

    @routes.get("/v1/hosts/<mac_text>/config")
    def config(mac_text: str) -> Response:
        text, granted = _take_configuration(services, parse_mac(mac_text))
        headers = {REINSTALL: "granted"} if granted else {}
        return Response(text, content_type="application/yaml", headers=headers)

    return routes


def _take_configuration(services: Services, mac: str) -> tuple[str, bool]:
    """The completed Host Configuration, and whether an operator granted a reinstall.

    Fetching it starts the install; looking does not.
    """
    host, record, granted = services.policy.known(mac)
    if host is None:
        hint = f"declare it: trident-bootserver hosts add {mac} --host-config FILE"
        raise Refusal(404, f"{mac} is not declared", hint)
    if host.problem is not None or host.configuration is None:
        raise Refusal(422, f"{mac}: {host.problem}", "correct the machine's declaration")
    text = configuration.complete(host.configuration, mac, Place.of(services.settings))
    if not only_looks():
        services.observer.saw(mac, request.remote_addr or "")
        note = Note("http", "config", {"path": request.path, "reinstall": granted})
        taken = services.store.take_configuration(mac, note)
    else:
        taken = granted or record is None or not record.installed
    if not taken:
        hint = f"to install it again: trident-bootserver hosts reinstall {mac}"
        raise Refusal(409, f"{mac} is installed and no reinstall was asked for", hint)
    return text, granted
