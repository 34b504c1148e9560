"""Downloads over TLS: certificates are always verified, and https never becomes http."""

from __future__ import annotations

import ssl

import pytest

from agent.api.errors import TridentError
from agent.cosi.http import HttpLimits, HttpSource
from lab.certificates import Authority, authority
from tests.net.cosi.faulty_server import FaultyServer, Reply, Request

CONTENT = b"content of an image" * 10_000
QUICK = HttpLimits(connect_timeout_s=2, read_timeout_s=1, open_patience_s=1, stall_timeout_s=3)


@pytest.fixture(scope="module", name="server_authority")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture
def tls(server_authority: Authority) -> ssl.SSLContext:
    return server_authority.serving()


@pytest.fixture
def trusted(server_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server_authority.certificate))


@pytest.mark.usefixtures("trusted")
def test_a_trusted_server_is_read_from(tls: ssl.SSLContext) -> None:
    with FaultyServer(CONTENT, tls=tls) as server:
        source = HttpSource(server.url, QUICK)
        assert source.read_at(100_000, 50) == CONTENT[100_000:100_050]


def test_an_unknown_authority_is_refused_at_once(tls: ssl.SSLContext) -> None:
    with FaultyServer(CONTENT, tls=tls) as server:
        with pytest.raises(TridentError, match="not trusted: self-signed") as caught:
            HttpSource(server.url, QUICK)
        assert not server.requests
    assert caught.value.hint is not None
    assert "trust store" in caught.value.hint


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(tls: ssl.SSLContext) -> None:
    with FaultyServer(CONTENT, tls=tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(TridentError, match=r"not trusted: Hostname mismatch"):
            HttpSource(url, QUICK)


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_https_to_http_is_refused(tls: ssl.SSLContext) -> None:
    with FaultyServer(CONTENT) as plain:

        def elsewhere(server: FaultyServer, request: Request) -> Reply:
            return Reply(302, {"Location": plain.url, "Content-Length": "0"})

        with (
            FaultyServer(CONTENT, elsewhere, tls) as server,
            pytest.raises(TridentError, match="from https to http"),
        ):
            HttpSource(server.url, QUICK)
        assert not plain.requests


def test_a_server_without_tls_behind_https_ends_with_the_patience() -> None:
    with FaultyServer(CONTENT) as server, pytest.raises(TridentError, match="no progress for"):
        HttpSource(server.url.replace("http:", "https:"), QUICK)
