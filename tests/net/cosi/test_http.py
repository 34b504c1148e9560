"""Downloads against a real server on loopback that misbehaves in every way worth surviving."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.cosi.http import HttpLimits, HttpSource
from agent.cosi.reader import open_image
from agent.cosi.source import open_source, probe
from agent.cosi.stream import write_image
from tests.net.cosi.faulty_server import Behaviour, FaultyServer, Reply, Request, ranges
from tests.unit.cosi import images

CONTENT = random.Random(1).randbytes(700_000)
QUICK = HttpLimits(connect_timeout_s=2, read_timeout_s=1, open_patience_s=2, stall_timeout_s=3)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert threading.active_count() == 1


def read_all(source: HttpSource, offset: int = 0) -> bytes:
    data = bytearray()
    with source.open_range(offset, source.size - offset) as reader:
        buffer = memoryview(bytearray(50_000))
        while count := reader.readinto(buffer):
            data += buffer[:count]
    return bytes(data)


def refusal(behaviour: Behaviour, content: bytes = CONTENT) -> TridentError:
    with FaultyServer(content, behaviour) as server, pytest.raises(TridentError) as caught:
        HttpSource(server.url, QUICK)
    assert caught.value.identifier == "invalid-input/load-cosi"
    return caught.value


def altered(status: int = 206, body: bytes | None = None, **headers: str) -> Behaviour:
    """A good answer with another status, body or headers."""

    def behave(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["Content-Length"] = str(len(body))
        return Reply(status, reply.headers | named, reply.body if body is None else body)

    return behave


def once(first: Behaviour, then: Behaviour = ranges) -> Behaviour:
    """`first` for the first request, `then` for the others."""

    def behave(server: FaultyServer, request: Request) -> Reply:
        return (first if len(server.requests) == 1 else then)(server, request)

    return behave


def test_a_range_arrives_whole() -> None:
    with FaultyServer(CONTENT) as server:
        source = HttpSource(server.url, QUICK)
        assert source.size == len(CONTENT)
        assert read_all(source, 12_345) == CONTENT[12_345:]
        assert source.read_at(699_990, 10) == CONTENT[-10:]


def test_what_the_first_request_fetched_is_not_asked_for_again() -> None:
    with FaultyServer(CONTENT) as server:
        source = HttpSource(server.url, QUICK)
        assert source.read_at(60_000, 5_000) == CONTENT[60_000:65_000]
        assert len(server.requests) == 1
        assert server.requests[0].headers["accept-encoding"] == "identity"


def test_an_object_smaller_than_the_first_request_is_fine() -> None:
    with FaultyServer(b"tiny") as server:
        assert HttpSource(server.url, QUICK).read_at(0, 4) == b"tiny"
        assert probe(server.url) == 4


def test_reset_connections_are_resumed_at_the_next_byte() -> None:
    def resets(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        reply.reset_after = 100_000 if len(reply.body) > 100_000 else None
        return reply

    with FaultyServer(CONTENT, resets) as server:
        assert read_all(HttpSource(server.url, QUICK)) == CONTENT
        starts = [request.first for request in server.requests]
    assert len(starts) > 6
    assert all(start is not None and start > 0 for start in starts[2:])


def test_a_body_shorter_than_announced_is_resumed() -> None:
    def short(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        reply.body = reply.body[:150_000]
        return reply

    with FaultyServer(CONTENT, short) as server:
        assert read_all(HttpSource(server.url, QUICK)) == CONTENT


def test_a_range_answered_only_in_part_is_asked_for_again() -> None:
    def partial(server: FaultyServer, request: Request) -> Reply:
        assert request.first is not None
        assert request.last is not None
        last = min(request.first + 49_999, request.last)
        return ranges(server, Request(request.path, request.headers, request.first, last))

    with FaultyServer(CONTENT, partial) as server:
        assert read_all(HttpSource(server.url, QUICK)) == CONTENT


def test_a_server_killed_and_restarted_on_its_port_only_delays_the_download(
    tmp_path: Path,
) -> None:
    pieces = images.sample_pieces(root_bytes=3_000_000)

    def slowly(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        if len(reply.body) > 1_000_000:
            reply.piece_bytes, reply.pause_s = 50_000, 0.02
        return reply

    server = FaultyServer(images.cosi_bytes(pieces), slowly)
    server.start()
    (tmp_path / "root").touch()
    with open_source(server.url) as source:
        image = open_image(source, None)
        killed_at: list[int] = []

        def progress(done: int, _total: int) -> None:
            if not killed_at:
                killed_at.append(done)
                server.stop()
                server.start()

        report = write_image(
            image, image.metadata.images[1].image, tmp_path / "root", progress=progress
        )
    server.stop()
    assert hashlib.sha384((tmp_path / "root").read_bytes()).digest() == (
        hashlib.sha384(pieces[2].raw).digest()
    )
    assert report.written_bytes == 3_000_000
    root = image.member("images/root.rawzst")
    resumed = [request.first for request in server.requests if (request.first or 0) > root.offset]
    assert resumed, "no request continued inside the image"


def test_a_server_that_never_comes_back_ends_the_download_with_its_last_error() -> None:
    server = FaultyServer(CONTENT)
    server.start()
    source = HttpSource(server.url, QUICK)
    server.stop()
    with pytest.raises(TridentError, match=r"no progress for .* refused"):
        read_all(source)


def test_a_server_that_ignores_ranges_is_refused() -> None:
    error = refusal(altered(200))
    assert "ignores ranges" in error.message
    assert error.hint is not None
    assert "byte ranges" in error.hint


def test_a_server_that_forgets_ranges_later_is_refused() -> None:
    with FaultyServer(CONTENT, once(ranges, altered(200))) as server:
        source = HttpSource(server.url, QUICK)
        with pytest.raises(TridentError, match="ignores ranges"):
            read_all(source)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "value",
    [
        "bytes 1-65535/700000",
        "bytes 0-70000/700000",
        "bytes 0-65535/*",
        "bytes */700000",
        "bytes 9-0/700000",
        "items 0-65535/700000",
        "bytes 0-65535/65535",
        "bytes 0-65535/99999999999999999999",
    ],
)
def test_an_answer_for_another_range_is_refused(value: str) -> None:
    assert "Content-Range" in refusal(altered(Content_Range=value)).message


def test_an_answer_without_content_range_is_refused() -> None:
    def bare(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        del reply.headers["Content-Range"]
        return reply

    assert "Content-Range None" in refusal(bare).message


def test_a_body_longer_than_its_range_is_cut_off_there() -> None:
    def chatty(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        reply.body += b"extra" * 1000
        reply.headers["Content-Length"] = str(len(reply.body))
        return reply

    with FaultyServer(CONTENT, chatty) as server:
        source = HttpSource(server.url, QUICK)
        assert source.read_at(100_000, 50) == CONTENT[100_000:100_050]


def test_chunked_answers_are_understood() -> None:
    def chunked(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        del reply.headers["Content-Length"]
        reply.headers["Transfer-Encoding"] = "chunked"
        body, reply.body = reply.body, b""
        for at in range(0, len(body), 7000):
            part = body[at : at + 7000]
            reply.body += b"%x\r\n%s\r\n" % (len(part), part)
        reply.body += b"0\r\n\r\n"
        return reply

    with FaultyServer(CONTENT, chunked) as server:
        assert read_all(HttpSource(server.url, QUICK)) == CONTENT


def test_compressed_transfer_is_refused() -> None:
    assert "Content-Encoding" in refusal(altered(Content_Encoding="gzip")).message


def test_an_object_whose_etag_changes_midway_is_refused() -> None:
    with FaultyServer(CONTENT) as server:
        source = HttpSource(server.url, QUICK)
        server.etag = '"two"'
        with pytest.raises(TridentError, match="changed on the server"):
            read_all(source)


def test_an_object_whose_size_changes_midway_is_refused() -> None:
    with FaultyServer(CONTENT) as server:
        source = HttpSource(server.url, QUICK)
        server.content = CONTENT + b"more"
        with pytest.raises(TridentError, match="changed on the server"):
            read_all(source)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 410, 416, 501, 304])
def test_errors_that_stay_fail_at_once(status: int) -> None:
    with FaultyServer(CONTENT, altered(status, b"")) as server:
        with pytest.raises(TridentError, match=str(status)):
            HttpSource(server.url, QUICK)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_errors_that_pass_are_tried_again(status: int) -> None:
    with FaultyServer(CONTENT, once(altered(status, b""))) as server:
        assert HttpSource(server.url, QUICK).size == len(CONTENT)
        assert len(server.requests) == 2


def test_retry_after_is_honoured() -> None:
    times: list[float] = []

    def busy(server: FaultyServer, request: Request) -> Reply:
        times.append(time.monotonic())
        if len(times) == 1:
            return Reply(503, {"Retry-After": "1", "Content-Length": "0"})
        return ranges(server, request)

    with FaultyServer(CONTENT, busy) as server:
        HttpSource(server.url, QUICK)
    assert times[1] - times[0] >= 1.0


def test_an_endless_503_ends_with_the_patience() -> None:
    assert "no progress for" in refusal(altered(503, b"")).message


def test_a_silent_server_ends_with_the_patience() -> None:
    def silent(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        reply.pause_s = 60
        return reply

    assert "no progress for" in refusal(silent).message


def test_a_server_that_trickles_bytes_ends_with_the_patience() -> None:
    """A byte now and then keeps the connection alive, but is no progress."""

    def loris(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        if len(server.requests) > 1:
            reply.piece_bytes, reply.pause_s = 1, 0.05
        return reply

    with FaultyServer(CONTENT, loris) as server:
        source = HttpSource(server.url, QUICK)
        with pytest.raises(TridentError, match="no progress for"):
            read_all(source)


def redirect(location: str) -> Behaviour:
    return lambda server, request: Reply(302, {"Location": location, "Content-Length": "0"})


def test_a_redirect_is_followed_and_the_range_kept() -> None:
    def behave(server: FaultyServer, request: Request) -> Reply:
        if request.path == "/image.cosi":
            return redirect("/real")(server, request)
        return ranges(server, request)

    with FaultyServer(CONTENT, behave) as server:
        source = HttpSource(server.url, QUICK)
        assert source.read_at(650_000, 10) == CONTENT[650_000:650_010]


def test_a_redirect_loop_ends_after_eight() -> None:
    with FaultyServer(CONTENT, redirect("/image.cosi")) as server:
        with pytest.raises(TridentError, match="more than 8 redirects"):
            HttpSource(server.url, QUICK)
        assert len(server.requests) == 9


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "http://[x", ""])
def test_a_redirect_to_something_else_is_refused(location: str) -> None:
    assert "redirects to" in refusal(redirect(location)).message


def test_credentials_go_to_their_own_server_only_and_into_no_message() -> None:
    with FaultyServer(CONTENT) as other:

        def behave(server: FaultyServer, request: Request) -> Reply:
            return redirect(other.url)(server, request)

        with FaultyServer(CONTENT, behave) as server:
            url = server.url.replace("http://", "http://user:secret@") + "?token=hidden"
            source = HttpSource(url, QUICK)
            assert server.requests[0].headers["authorization"].startswith("Basic ")
            assert "authorization" not in other.requests[0].headers
            assert "secret" not in source.url
            assert "hidden" not in source.url
            assert server.requests[0].path.endswith("?token=hidden")


def test_credentials_survive_a_redirect_within_their_server() -> None:
    def behave(server: FaultyServer, request: Request) -> Reply:
        if request.path == "/image.cosi":
            return redirect("/real")(server, request)
        return ranges(server, request)

    with FaultyServer(CONTENT, behave) as server:
        HttpSource(server.url.replace("http://", "http://user:secret@"), QUICK)
        sent = [request.headers.get("authorization") for request in server.requests]
    assert sent == ["Basic dXNlcjpzZWNyZXQ="] * 2


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(CONTENT) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "other.invalid")
        source = HttpSource("http://images.invalid/a.cosi", QUICK)
        assert source.size == len(CONTENT)
        assert proxy.requests[0].path == "http://images.invalid/a.cosi"


def test_something_that_does_not_speak_http_ends_with_the_patience() -> None:
    def garbage(server: FaultyServer, request: Request) -> Reply:
        return Reply(status=99999)

    assert "no progress for" in refusal(garbage).message


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[::1", "http://host:port/x", "http://host:99999/x", "http://a b/x"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(TridentError) as caught:
        open_source(url, open_patience_s=1)
    assert caught.value.code == "load-cosi"


def test_cancelling_wakes_a_reader_that_waits() -> None:
    def silent_later(server: FaultyServer, request: Request) -> Reply:
        reply = ranges(server, request)
        if len(server.requests) > 1:
            reply.pause_s = 60
        return reply

    patient = HttpLimits(read_timeout_s=60)
    with FaultyServer(CONTENT, silent_later) as server:
        source = HttpSource(server.url, patient)
        with source.open_range(0, len(CONTENT)) as reader:
            timer = threading.Timer(0.2, reader.cancel)
            timer.start()
            started = time.monotonic()
            with pytest.raises(TridentError, match="cancelled"):
                reader.readinto(memoryview(bytearray(1000)))
            assert time.monotonic() - started < 10
            timer.join()
