"""How a session ends, with real sockets and a clock of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bootserver.tftp.content import Memory
from bootserver.tftp.packet import Ack, Data, Error, OptionAck, encode, parse
from bootserver.tftp.sending import WindowSender
from bootserver.tftp.session import Ended, Session, connect
from bootserver.tftp.transfer import Terms

DATA = bytes(range(250)) * 10
LATE = 1000.0


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(5)
        yield one


def session(client: socket.socket, data: bytes = DATA, **accepted: str) -> Session:
    """A session that has sent its first answer at the time 0."""
    sock, _ = connect("127.0.0.1", client.getsockname())
    terms = Terms(512, 1, None, accepted)
    one = Session(sock, Memory(data), terms, WindowSender(), b"request", "loader", 0.0)
    assert one.begin(0.0) is None
    return one


def acknowledge(one: Session, client: socket.socket, block: int) -> Ended | None:
    client.sendto(encode(Ack(block)), one.socket.getsockname())
    return one.receive(0.5)


def why(ended: Ended | None) -> str:
    assert ended is not None
    assert ended.event is not None
    assert ended.event.event == "failed"
    return str(ended.event.detail["why"])


def test_a_client_that_never_answers_points_at_a_firewall(client: socket.socket) -> None:
    one = session(client, tsize="2500")
    assert isinstance(parse(client.recv(600)), OptionAck)
    assert "a firewall" in why(one.expire(LATE))
    assert isinstance(parse(client.recv(600)), Error)
    one.socket.close()


def test_a_client_that_falls_silent_is_told_and_given_up(client: socket.socket) -> None:
    one = session(client)
    assert acknowledge(one, client, 1) is None
    assert [parse(client.recv(600)) for _ in range(2)] == [
        Data(1, DATA[:512]),
        Data(2, DATA[512:1024]),
    ]
    ended = one.expire(LATE)
    assert why(ended) == "the client stopped acknowledging"
    assert isinstance(parse(client.recv(600)), Error)
    one.socket.close()


def test_silence_after_the_last_block_counts_as_done(client: socket.socket) -> None:
    one = session(client, DATA[:100])
    ended = one.expire(LATE)
    assert ended is not None
    assert ended.event is not None
    assert (ended.event.event, ended.event.detail["bytes"]) == ("done", 100)
    one.socket.close()


def test_before_its_time_is_up_the_same_answer_is_sent_again(client: socket.socket) -> None:
    one = session(client)
    first = client.recv(600)
    assert one.expire(1.0) is None
    assert client.recv(600) == first
    one.socket.close()


def test_a_client_without_a_port_is_gone_even_when_told_so(client: socket.socket) -> None:
    one = session(client)
    acknowledge(one, client, 1)
    client.close()
    ended = one.expire(1.0) or one.expire(2.0)
    assert why(ended) == "the client closed its port"
    one.socket.close()


def test_a_closed_socket_is_a_failure_not_a_crash(client: socket.socket) -> None:
    one = session(client)
    acknowledge(one, client, 1)
    one.socket.close()
    assert why(one.expire(1.0)) == "sending failed: Bad file descriptor"


def test_a_copied_request_is_one_until_the_client_has_long_been_silent(
    client: socket.socket,
) -> None:
    one = session(client)
    assert one.repeats(b"request", 50.0)
    acknowledge(one, client, 1)
    assert one.repeats(b"request", 2.0)
    assert not one.repeats(b"request", 50.0)
    assert not one.repeats(b"another", 2.0)
    one.socket.close()
