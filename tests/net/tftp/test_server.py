"""The TFTP server with real sockets: other people's clients, loss, limits, and abuse."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import tftpy

from agent.api.errors import TridentError
from agent.linux.run import run
from bootserver.tftp.packet import Ack, Data, Error, OptionAck, Packet, Request, encode, parse
from bootserver.tftp.server import Limits, TftpServer
from lab import waiting
from tests.kit.lossy_link import LossyLink
from tests.kit.tftp_client import Download, fetch
from tests.kit.tftp_server import LOOPBACK, Serving, serving

SIZES = {"empty": 0, "short": 511, "block": 512, "blocks": 1428 * 5, "large": 3_000_001}
ALL_OPTIONS = {"tsize": "0", "blksize": "1024", "timeout": "2", "windowsize": "4"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tftp")
    for name, size in SIZES.items():
        (folder / name).write_bytes(os.urandom(size))
    return folder


@pytest.fixture
def server(root: Path) -> Iterator[Serving]:
    with serving(root) as running:
        yield running


class Talker:
    """A client that says exactly what the test wants."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.peer = server
        self._server = server

    def say(self, packet: Packet | bytes) -> None:
        data = packet if isinstance(packet, bytes) else encode(packet)
        self.socket.sendto(data, self.peer)

    def hear(self) -> Packet:
        data, self.peer = self.socket.recvfrom(65535)
        return parse(data)

    def hears_nothing_for(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(65535)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)
        return False

    def ask(self, filename: str, **options: str) -> Packet:
        self.peer = self._server
        self.say(Request(filename, "octet", options))
        return self.hear()


@pytest.fixture
def talker(server: Serving) -> Iterator[Talker]:
    one = Talker(server.at)
    yield one
    one.socket.close()


@pytest.mark.parametrize(
    ("name", "block_size"),
    [
        *((name, None) for name in SIZES),
        # curl refuses an OACK with tsize 0 and needs long for blocks of 8 bytes.
        *((name, "8") for name in SIZES if name not in ("empty", "large")),
        *((name, "1468") for name in SIZES if name != "empty"),
        *((name, "65464") for name in SIZES if name != "empty"),
    ],
)
def test_curl_gets_every_file(
    root: Path, server: Serving, tmp_path: Path, name: str, block_size: str | None
) -> None:
    options = ["--tftp-blksize", block_size] if block_size else ["--tftp-no-options"]
    url = f"tftp://127.0.0.1:{server.server.port}/{name}"
    run(["curl", "-sS", *options, "-o", tmp_path / "got", url])
    assert (tmp_path / "got").read_bytes() == (root / name).read_bytes()
    assert server.told("done")[0].detail["bytes"] == SIZES[name]


def test_the_hpa_client_gets_a_file(root: Path, server: Serving, tmp_path: Path) -> None:
    port, got = str(server.server.port), tmp_path / "got"
    run(["tftp", "127.0.0.1", port, "-m", "binary", "-c", "get", "large", got])
    assert got.read_bytes() == (root / "large").read_bytes()


def test_text_mode_is_served_unconverted(root: Path, talker: Talker) -> None:
    (root / "text").write_bytes(b"a line\nand another\n")
    talker.say(Request("text", "netascii"))
    assert talker.hear() == Data(1, b"a line\nand another\n")


def test_tftpy_gets_a_file(root: Path, server: Serving, tmp_path: Path) -> None:
    client = tftpy.TftpClient("127.0.0.1", server.server.port, {"blksize": 1024, "tsize": 0})
    client.download("/large", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == (root / "large").read_bytes()


@pytest.mark.parametrize("window_size", [1, 2, 32, 64, 65535])
def test_windows_of_any_size_carry_files_whole(
    root: Path, server: Serving, window_size: int
) -> None:
    names = [name for name in SIZES for _ in range(3)]
    campaign = fetch([Download(server.at, name, 1428, window_size) for name in names])
    assert campaign.failures == []
    for one in campaign.downloads:
        assert one.digest == hashlib.sha256((root / one.filename).read_bytes()).hexdigest()


def test_generated_content_is_served_like_a_file(root: Path) -> None:
    made = os.urandom(100_000)
    with serving(root, resolve=lambda name, client: made if client == "127.0.0.1" else None) as one:
        download = fetch([Download(one.at, "anything", window_size=8)]).downloads[0]
    assert download.digest == hashlib.sha256(made).hexdigest()


def test_500_transfers_at_once_survive_a_line_that_loses_one_percent(
    root: Path, server: Serving
) -> None:
    (root / "loader").write_bytes(os.urandom(48_000))
    expected = hashlib.sha256((root / "loader").read_bytes()).hexdigest()
    with LossyLink(server.at, 0.01, seed=3).running() as link:
        at = ("127.0.0.1", link.port)
        campaign = fetch([Download(at, "loader", 1428, 4) for _ in range(500)], limit_s=60)
    assert campaign.failures == []
    assert {one.digest for one in campaign.downloads} == {expected}
    assert link.dropped > 50
    assert len(server.told("done", 500)) == 500


def test_all_options_are_acknowledged(talker: Talker) -> None:
    answer = talker.ask("block", **ALL_OPTIONS, unknown="1")
    assert answer == OptionAck(ALL_OPTIONS | {"tsize": "512"})


def test_without_options_the_first_block_comes_at_once(root: Path, talker: Talker) -> None:
    assert talker.ask("short") == Data(1, (root / "short").read_bytes())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Request("missing", "octet"), 1),
        (Request("../secret", "octet"), 2),
        (Request("a/../../b", "octet"), 2),
        (Request("a\x01", "octet"), 2),
        (Request("block", "octet", write=True), 2),
        (Request("block", "mail"), 4),
        (Request("", "octet"), None),
    ],
)
def test_what_is_not_served_is_refused_at_once(
    server: Serving, talker: Talker, request_: Request, code: int | None
) -> None:
    talker.say(request_)
    if code is None:
        assert talker.hears_nothing_for(0.3)
        return
    answer = talker.hear()
    assert isinstance(answer, Error)
    assert answer.code == code
    assert server.server.active == 0


def test_a_link_out_of_the_folder_is_not_followed(root: Path, talker: Talker) -> None:
    (root / "link").unlink(missing_ok=True)
    (root / "link").symlink_to("/etc/hostname")
    answer = talker.ask("link")
    assert isinstance(answer, Error)
    assert answer.code == 1


def test_a_probe_that_aborts_is_no_failure(server: Serving, talker: Talker) -> None:
    assert isinstance(talker.ask("large", tsize="0"), OptionAck)
    talker.say(Error(8, "User aborted the transfer"))
    server.idle()
    assert [one.event for one in server.events] == ["read"]
    assert isinstance(talker.ask("large", tsize="0", blksize="1468"), OptionAck)


def test_a_client_that_aborts_midway_is_told_of(server: Serving, talker: Talker) -> None:
    talker.ask("large")
    talker.say(Ack(1))
    assert isinstance(talker.hear(), Data)
    talker.say(Error(3, "disk full"))
    failed = server.told("failed")[0]
    assert failed.detail == {"why": "the client ended it: error 3 disk full", "bytes": 512}


def test_a_client_that_vanishes_midway_frees_its_transfer(server: Serving, talker: Talker) -> None:
    talker.ask("large", windowsize="4")
    talker.say(Ack(0))
    talker.hear()
    talker.say(Ack(1))
    talker.socket.close()
    failed = server.told("failed")[0]
    assert failed.detail["why"] == "the client closed its port"
    server.idle()


def test_a_client_that_leaves_before_the_last_acknowledgement_has_its_file(
    server: Serving, talker: Talker
) -> None:
    talker.ask("short")
    talker.socket.close()
    assert server.told("done")[0].detail["bytes"] == 511


def test_a_repeated_request_opens_no_second_transfer(server: Serving, talker: Talker) -> None:
    request = Request("large", "octet", {"tsize": "0"})
    for _ in range(3):
        talker.peer = server.at
        talker.say(request)
    assert isinstance(talker.hear(), OptionAck)
    assert talker.hears_nothing_for(0.3)
    assert server.server.active == 1


def test_a_late_copy_of_the_request_does_not_disturb_its_transfer(
    server: Serving, talker: Talker
) -> None:
    talker.ask("large")
    copy = Request("large", "octet")
    talker.say(Ack(1))
    assert isinstance(talker.hear(), Data)
    transfer = talker.peer
    talker.peer = server.at
    talker.say(copy)
    talker.peer = transfer
    talker.say(Ack(2))
    third = talker.hear()
    assert isinstance(third, Data)
    assert (third.block, talker.peer) == (3, transfer)


def test_a_new_request_from_the_same_port_replaces_the_old_transfer(
    root: Path, server: Serving, talker: Talker
) -> None:
    talker.ask("large", tsize="0")
    assert talker.ask("short") == Data(1, (root / "short").read_bytes())
    assert server.server.active == 1


def test_a_repeated_acknowledgement_does_not_double_the_data(talker: Talker) -> None:
    talker.ask("large")
    for _ in range(3):
        talker.say(Ack(1))
    second = talker.hear()
    assert isinstance(second, Data)
    assert second.block == 2
    assert talker.hears_nothing_for(0.1)


def test_lost_data_is_sent_again(talker: Talker) -> None:
    first = talker.ask("large")
    assert talker.hear() == first


def test_a_stranger_can_not_steer_a_transfer(server: Serving, talker: Talker) -> None:
    talker.ask("large")
    stranger = Talker(talker.peer)
    stranger.say(Ack(1))
    stranger.say(Error(0, "stop"))
    stranger.socket.close()
    talker.say(Ack(1))
    answer = talker.hear()
    assert isinstance(answer, Data)
    assert answer.block == 2


def test_one_client_can_not_take_all_transfers(root: Path) -> None:
    with serving(root, Limits(total=100, per_client=3)) as one:
        talkers = [Talker(one.at) for _ in range(4)]
        for number in range(3):
            assert isinstance(talkers[number].ask("large"), Data)
        talkers[3].say(Request("large", "octet"))
        assert talkers[3].hears_nothing_for(0.3)
        assert one.server.statistics.over_limit == 1
        talkers[0].say(Error(0, "enough"))
        waiting.until(lambda: one.server.active == 2, limit_s=5, what="an end", poll_s=0.01)
        assert isinstance(talkers[3].ask("large"), Data)
        for talker in talkers:
            talker.socket.close()


def test_beyond_the_total_clients_wait_and_all_are_served(root: Path) -> None:
    with serving(root, Limits(total=8, per_client=100)) as one:
        campaign = fetch([Download(one.at, "large", 1428, 16) for _ in range(40)])
        assert campaign.failures == []
        assert one.server.statistics.over_limit > 0


def test_a_file_that_becomes_shorter_ends_its_transfer(
    root: Path, server: Serving, talker: Talker
) -> None:
    shrinking = root / "shrinking"
    shrinking.write_bytes(bytes(5000))
    talker.ask("shrinking")
    os.truncate(shrinking, 600)
    talker.say(Ack(1))
    answer = talker.hear()
    assert isinstance(answer, Error)
    assert "shorter" in str(server.told("failed")[0].detail["why"])


def test_malformed_datagrams_are_counted_and_survived(
    root: Path, server: Serving, talker: Talker
) -> None:
    garbage = [b"", b"\0", b"\0\x01", b"\0\x01\xff\0octet\0", b"\0\x09xx", os.urandom(600)]
    for data in garbage * 20:
        talker.say(data)
    for packet in (Ack(1), Data(1, b"x"), Error(5, "?"), OptionAck({})):
        talker.say(packet)
    assert talker.ask("short") == Data(1, (root / "short").read_bytes())
    talker.say(b"\0")
    talker.say(Data(7, b"what"))
    talker.say(Ack(1))
    server.told("done")
    assert server.server.statistics.malformed == len(garbage) * 20 + 4


def test_a_resolver_that_fails_ends_nothing(root: Path) -> None:
    def resolve(name: str, _client: str) -> bytes | None:
        if name == "broken":
            raise RuntimeError("the database is gone")
        return b"fine"

    with serving(root, resolve=resolve) as one:
        talker = Talker(one.at)
        talker.say(Request("broken", "octet"))
        assert talker.hears_nothing_for(0.2)
        assert talker.ask("other") == Data(1, b"fine")
        talker.socket.close()


def test_an_unreadable_file_is_an_error(root: Path) -> None:
    with serving(root, resolve=lambda name, _client: root / "nowhere") as one:
        talker = Talker(one.at)
        answer = talker.ask("x")
        assert isinstance(answer, Error)
        assert answer.code == 1
        talker.socket.close()


def test_a_taken_port_says_who_must_act(root: Path, server: Serving) -> None:
    with pytest.raises(TridentError) as raised:
        TftpServer(LOOPBACK, server.server.port, lambda name, client: None, lambda event: None)
    assert raised.value.code == "tftp-port-unavailable"
    assert "ss -lunp" in (raised.value.hint or "")


def test_the_answer_comes_from_the_address_that_was_asked(root: Path) -> None:
    with serving(root, address=IPv4Address("0.0.0.0")) as one:
        talker = Talker(("127.0.0.7", one.server.port))
        assert isinstance(talker.ask("short"), Data)
        assert talker.peer[0] == "127.0.0.7"
        talker.socket.close()


def test_an_ended_server_leaves_no_descriptor_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with serving(root) as one:
        talkers = [Talker(one.at) for _ in range(5)]
        for talker in talkers:
            talker.ask("large")
    for talker in talkers:
        talker.socket.close()
    assert len(os.listdir("/proc/self/fd")) == before
