from __future__ import annotations

import json
import time

from agent.reporting.sender import Sender, Until, forever, shown, sibling
from tests.kit import ports
from tests.kit.receiver import receiver


def body(number: int) -> bytes:
    return json.dumps({"n": number}).encode()


def test_bodies_arrive_in_order_and_close_waits_for_the_last() -> None:
    with receiver() as server:
        sender = Sender(server.url("/events"), forever)
        for number in range(50):
            sender.post(body(number))
        assert sender.close(10)
        assert [item["n"] for item in server.bodies("/events")] == list(range(50))


def test_a_body_is_posted_again_until_the_server_takes_it() -> None:
    with receiver(lambda path, n: 503 if n < 3 else 201) as server:
        sender = Sender(server.url("/events"), forever)
        sender.post(body(1))
        sender.post(body(2))
        assert sender.close(10)
        assert [item["n"] for item in server.bodies("/events")] == [1, 1, 1, 2]


def test_a_server_that_comes_up_later_gets_everything() -> None:
    with ports.held() as bound:
        sender = Sender(f"http://127.0.0.1:{ports.number(bound)}/phonehome", Until(10))
        sender.post(body(1))
        sender.post(body(2))
        with receiver(bound=bound) as server:
            assert sender.close(10)
            assert [item["n"] for item in server.bodies("/phonehome")] == [1, 2]


def test_a_dead_server_costs_no_more_than_its_limit() -> None:
    with ports.held() as bound:
        sender = Sender(f"http://127.0.0.1:{ports.number(bound)}/phonehome", Until(0.3))
        sender.post(body(1))
        started = time.monotonic()
        assert not sender.close(5)
        assert time.monotonic() - started < 3
        assert sender.dead


def test_close_gives_up_after_its_wait_even_if_the_server_is_retried_forever() -> None:
    with ports.held() as bound:
        sender = Sender(f"http://127.0.0.1:{ports.number(bound)}/events", forever)
        sender.post(body(1))
        started = time.monotonic()
        assert not sender.close(0.5)
        assert time.monotonic() - started < 2


def test_a_server_that_refuses_three_bodies_is_dropped() -> None:
    with receiver(lambda path, n: 404) as server:
        sender = Sender(server.url("/events"), forever)
        for number in range(10):
            sender.post(body(number))
        assert not sender.close(10)
        assert len(server.posts) == 3


def test_a_single_refused_body_does_not_stop_the_next() -> None:
    with receiver(lambda path, n: 400 if n == 1 else 201) as server:
        sender = Sender(server.url("/events"), forever)
        sender.post(body(1))
        sender.post(body(2))
        assert sender.close(10)
        assert [item["n"] for item in server.bodies("/events")] == [1, 2]


def test_newer_progress_takes_the_place_of_queued_progress() -> None:
    with ports.held() as bound:
        sender = Sender(f"http://127.0.0.1:{ports.number(bound)}/events", forever)
        sender.post(b"{}")
        for number in range(5000):
            sender.post(body(number), replaces="progress image")
        queued = [item for kind, item in sender._queue if kind]
        sender.close(0)
        assert queued == [body(4999)]


def test_urls_are_shown_without_what_may_be_secret() -> None:
    assert shown("https://user:secret@host:1/a/b?token=x#y") == "https://host:1/a/b"


def test_sibling_reports_are_found_beside_phonehome() -> None:
    url = "http://phonehome.example/v1/hosts/52:54:00:00:00:01/phonehome"
    assert sibling(url, "events") == "http://phonehome.example/v1/hosts/52:54:00:00:00:01/events"
    assert sibling("http://host/report", "events") is None
