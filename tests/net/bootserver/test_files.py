"""Files over HTTP from the running server: ranges, HEAD, names, broken and stalled requests."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from agent.linux.run import run
from tests.kit.bootserver import SET_FILES, BootServer, random_bytes

IMAGE = random_bytes("os", 3_000_000)


def get(server: BootServer, path: str, **headers: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", headers=headers, timeout=10, allow_redirects=False)


def exchange(server: BootServer, request: bytes) -> bytes:
    """Send bytes as they are and read until the server closes, which it may do before the end."""
    http = server.settings.http
    answer = b""
    with socket.create_connection(("127.0.0.1", http.port), timeout=10) as raw:
        with suppress(BrokenPipeError, ConnectionResetError):
            raw.sendall(request)
        with suppress(OSError):  # not connected any more
            raw.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while block := raw.recv(65536):
                answer += block
    return answer


def test_a_file_comes_whole_with_its_length(server: BootServer) -> None:
    answer = get(server, "/files/os.cosi")
    assert answer.status_code == 200
    assert answer.content == IMAGE
    assert answer.headers["Content-Length"] == str(len(IMAGE))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-1999999", 1_000_000, 2_000_000),
        ("bytes=2999999-", 2_999_999, 3_000_000),
        ("bytes=-10", 2_999_990, 3_000_000),
        ("bytes=2999990-9999999", 2_999_990, 3_000_000),
    ],
)
def test_a_range_comes_exactly(server: BootServer, header: str, start: int, end: int) -> None:
    answer = get(server, "/files/os.cosi", Range=header)
    assert answer.status_code == 206
    assert answer.content == IMAGE[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(IMAGE)}"
    assert answer.headers["Content-Length"] == str(end - start)


def test_a_range_behind_the_end_is_refused(server: BootServer) -> None:
    answer = get(server, "/files/os.cosi", Range="bytes=3000000-")
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */3000000"


def test_head_has_the_headers_and_no_body(server: BootServer) -> None:
    answer = requests.head(f"{server.url}/artifacts/vmlinuz", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(SET_FILES["vmlinuz"])
    assert answer.content == b""


def test_curl_resumes_a_download(server: BootServer, tmp_path: Path) -> None:
    part = tmp_path / "os.cosi"
    part.write_bytes(IMAGE[:1_234_567])
    run(["curl", "-sSf", "-C", "-", "-o", part, f"{server.url}/files/os.cosi"])
    assert part.read_bytes() == IMAGE


def test_a_replaced_file_has_another_etag_and_a_stale_range_gets_it_whole(
    server: BootServer,
) -> None:
    path = server.settings.files / "changing.bin"
    path.write_bytes(b"old" * 1000)
    first = get(server, "/files/changing.bin")
    etag = first.headers["ETag"]
    same = get(server, "/files/changing.bin", **{"Range": "bytes=3-5", "If-Range": etag})
    assert (same.status_code, same.content) == (206, b"old")
    assert get(server, "/files/changing.bin", **{"If-None-Match": etag}).status_code == 304
    new = path.with_suffix(".new")
    new.write_bytes(b"new" * 1000)
    os.replace(new, path)
    other = get(server, "/files/changing.bin", **{"Range": "bytes=3-5", "If-Range": etag})
    assert (other.status_code, other.content) == (200, b"new" * 1000)
    assert other.headers["ETag"] != etag


def test_connections_persist_and_doubled_slashes_are_one(server: BootServer) -> None:
    with requests.Session() as session:
        for path in ("//artifacts///x86_64//snponly.efi", "/artifacts/x86_64/snponly.efi"):
            answer = session.get(f"{server.url}{path}", timeout=10, allow_redirects=False)
            assert answer.status_code == 200
            assert answer.headers["Connection"] == "keep-alive"
            assert len(answer.content) == SET_FILES["x86_64/snponly.efi"]


@pytest.mark.parametrize(
    "path",
    [
        "/files/../settings.yaml",
        "/files/..%2fsettings.yaml",
        "/files/%2e%2e/settings.yaml",
        "/files//../settings.yaml",
        "/files/x/../../settings.yaml",
        "/artifacts/../state/bootserver.sqlite",
        "/files/%00",
        "/files/os.cosi%00.txt",
        "/files/outside",
        "/files/os.cosi/",
        "/files/folder",
        "/files/",
        "/files",
        "/artifacts/",
        "/files/fifo",
        "/",
        "/../../../../etc/hostname",
    ],
)
def test_nothing_outside_the_folder_and_no_listing_is_served(server: BootServer, path: str) -> None:
    files = server.settings.files
    (files / "folder").mkdir(exist_ok=True)
    if not (files / "outside").is_symlink():
        (files / "outside").symlink_to(server.settings_path)
    if not (files / "fifo").exists():
        os.mkfifo(files / "fifo")
    answer = exchange(
        server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    if path == "/files/os.cosi/":
        assert b" 200 " in answer.split(b"\r\n")[0]
        return
    assert answer.split(b"\r\n")[0] in (b"HTTP/1.1 404 Not Found", b"HTTP/1.1 404 NOT FOUND")
    assert b"127.0.0.1" not in answer.partition(b"\r\n\r\n")[2], "nothing of the settings file"
    assert b"Location" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_files_are_only_read(server: BootServer, method: str) -> None:
    answer = requests.request(method, f"{server.url}/files/os.cosi", timeout=10)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /files/os.cosi\r\n\r\n",
        b"GET /files/os.cosi HTTP/9.9\r\n\r\n",
        b"GET /files/os.cosi HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /files/os.cosi HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /phonehome HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"",
        b"\r\n\r\n\r\n",
    ],
)
def test_a_broken_request_harms_nobody(server: BootServer, request_bytes: bytes) -> None:
    answer = exchange(server, request_bytes)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert b"Traceback" not in answer
    assert get(server, "/healthz").text == "ok\n"


def test_clients_that_stall_do_not_keep_others_waiting(server: BootServer) -> None:
    """More silent connections than the server has threads: none of them takes one."""
    http = server.settings.http
    stalled = []
    began = time.monotonic()
    try:
        for _ in range(http.workers * http.threads + 8):
            stalled.append(socket.create_connection(("127.0.0.1", http.port), timeout=10))
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: get(server, "/files/os.cosi").content, range(16)))
        assert all(answer == IMAGE for answer in answers)
        assert time.monotonic() - began < 4, "less than the time a thread waits for a request"
    finally:
        for one in stalled:
            one.close()


def test_requests_in_one_packet_are_answered_one_after_another(server: BootServer) -> None:
    one = b"GET /files/os.cosi HTTP/1.1\r\nHost: x\r\nRange: bytes=%d-%d\r\n\r\n"
    last = (
        b"GET /files/os.cosi HTTP/1.1\r\nHost: x\r\nRange: bytes=7-8\r\nConnection: close\r\n\r\n"
    )
    answer = exchange(server, one % (0, 2) + one % (3, 5) + last)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 206 ")[1:]]
    assert bodies == [IMAGE[0:3], IMAGE[3:6], IMAGE[7:9]]


def test_a_connection_serves_quick_and_slow_requests_alike(server: BootServer) -> None:
    """Faster than a thread waits for the next request, and slower."""
    with requests.Session() as session:
        for number in range(40):
            header = {"Range": f"bytes={number}-{number + 9}"}
            answer = session.get(f"{server.url}/files/os.cosi", headers=header, timeout=10)
            assert answer.content == IMAGE[number : number + 10]
            threading.Event().wait(0.01 if number % 8 == 0 else 0)


def test_a_client_that_stops_in_its_request_is_cut_off(server: BootServer) -> None:
    http = server.settings.http
    with socket.create_connection(("127.0.0.1", http.port), timeout=15) as raw:
        raw.sendall(b"GET /files/os.cosi HTTP/1.1\r\nHos")
        assert raw.recv(100) == b""
    assert "Traceback" not in server.log.read_text()


def test_many_clients_get_the_right_bytes_at_once(server: BootServer) -> None:
    def fetch(number: int) -> bool:
        start = number * 50_000
        answer = get(server, "/files/os.cosi", Range=f"bytes={start}-{start + 49_999}")
        return answer.content == IMAGE[start : start + 50_000]

    with ThreadPoolExecutor(32) as clients:
        assert all(clients.map(fetch, range(60)))


def test_a_client_that_goes_away_in_the_middle_is_survived(server: BootServer) -> None:
    http = server.settings.http
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", http.port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(b"GET /files/os.cosi HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(100)
    assert get(server, "/files/os.cosi").content == IMAGE
    assert "Traceback" not in server.log.read_text()
