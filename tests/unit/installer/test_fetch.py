from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from agent.api.errors import Kind, TridentError
from installer import fetch
from tests.kit.scripted_server import ScriptedServer, scripted

MAC = "52:54:00:00:00:01"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as running:
        yield running


def fetch_from(server: ScriptedServer, retry_for_s: float = 60) -> tuple[str, list[str]]:
    told: list[str] = []
    text = fetch.configuration(
        server.url, MAC, retry_for_s=retry_for_s, pause=lambda _: None, tell=told.append
    )
    return text.text, told


def test_the_configuration_of_this_mac_is_fetched(server: ScriptedServer) -> None:
    server.answers = [(200, b"storage: {}\n")]
    assert fetch_from(server) == ("storage: {}\n", [])
    assert server.paths == [f"/v1/hosts/{MAC}/config"]


def test_what_can_heal_is_tried_again_and_said(server: ScriptedServer) -> None:
    undeclared = json.dumps({"error": "unknown machine"}).encode()
    server.answers = [(503, b""), (404, undeclared), (200, b"image: {}\n")]
    text, told = fetch_from(server)
    assert text == "image: {}\n"
    assert len(told) == 2
    assert "HTTP status 503" in told[0]
    assert "unknown machine" in told[1]


def test_a_refusal_is_final_and_keeps_the_servers_words(server: ScriptedServer) -> None:
    body = {"error": "this machine is installed", "hint": "trident-bootserver hosts reinstall"}
    server.answers = [(409, json.dumps(body).encode())]
    with pytest.raises(TridentError) as caught:
        fetch_from(server)
    assert "this machine is installed" in caught.value.message
    assert caught.value.hint == "trident-bootserver hosts reinstall"
    assert caught.value.code == fetch.NOT_GRANTED
    assert len(server.paths) == 1


def test_a_redirect_is_not_followed(server: ScriptedServer) -> None:
    server.answers = [(302, b"")]
    with pytest.raises(TridentError, match="302"):
        fetch_from(server)


def test_giving_up_names_the_command_that_declares_the_machine(server: ScriptedServer) -> None:
    server.answers = [(404, b"")]
    with pytest.raises(TridentError) as caught:
        fetch_from(server, retry_for_s=0)
    assert f"declare {MAC}" in (caught.value.hint or "")


def test_a_server_that_is_down_is_named_as_such() -> None:
    with ScriptedServer() as stopped:
        url = stopped.url
    with pytest.raises(TridentError, match="does not answer") as caught:
        fetch.configuration(url, MAC, retry_for_s=0, pause=lambda _: None, tell=lambda _: None)
    assert caught.value.code == fetch.UNREACHABLE


@pytest.mark.parametrize("body", [b"x" * ((1 << 20) + 1), b"\xff\xfe"])
def test_what_is_no_configuration_is_not_taken_for_one(server: ScriptedServer, body: bytes) -> None:
    server.answers = [(200, body)]
    with pytest.raises(TridentError) as caught:
        fetch_from(server)
    assert caught.value.identifier == "invalid-input/parse-host-configuration"


def test_a_failure_is_reported_in_upstreams_form(server: ScriptedServer) -> None:
    server.answers = [(201, b"OK")]
    error = TridentError(Kind.INITIALIZATION, "link-down", "no link", hint="check the cable")
    assert fetch.report_failure(server.url, MAC, error)
    assert server.paths == [f"/v1/hosts/{MAC}/phonehome"]
    assert server.posted[0]["state"] == "failed"
    assert "check the cable" in str(server.posted[0]["message"])


def test_a_report_nobody_takes_is_no_failure_of_its_own() -> None:
    with ScriptedServer() as stopped:
        url = stopped.url
    error = TridentError(Kind.INITIALIZATION, "link-down", "no link")
    assert not fetch.report_failure(url, MAC, error)


def test_a_server_that_answered_before_it_fell_silent_is_not_unreachable() -> None:
    """What it did not hand out must not be taken from elsewhere."""
    with scripted() as server:
        server.answers = [(404, b"")]
        pauses: list[float] = []

        def pause(wait_s: float) -> None:
            pauses.append(wait_s)
            server.server_close()

        with pytest.raises(TridentError) as caught:
            fetch.configuration(server.url, MAC, retry_for_s=1.5, pause=pause, tell=lambda _: None)
    assert pauses == [1.0]
    assert caught.value.code == "query-for-updates"
