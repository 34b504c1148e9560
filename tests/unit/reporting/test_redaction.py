"""Nothing secret leaves the host in a report or a diagnostics bundle."""

from __future__ import annotations

import json
import time

import pytest

from agent.reporting.redaction import HIDDEN, Redactor, secrets

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"

SCRIPT = f"export API_TOKEN=s3cret\necho root:s3cret | chpasswd\ncat <<E\n{KEY}\nE"
VARIABLES = {"DB_PASSWORD": "s3cret", "apiToken": "s3cret", "PLAIN": "1"}
KEPT = ("ssh-ed25519 AAAA b", "dangerous-plain-text", "/etc/x", "0600", "identity", "home")
DOCUMENT = {
    "image": {"url": "https://user:s3cret@host/os.cosi?sv=1&sig=s3cret%3D", "sha384": "a" * 96},
    "os": {
        "users": [
            {"name": "a", "password": {"type": "dangerous-plain-text", "value": "s3cret"}},
            {"name": "b", "password": {"type": "locked"}, "sshPublicKeys": ["ssh-ed25519 AAAA b"]},
        ],
        "netplan": {
            "wifis": {
                "w": {
                    "access-points": {
                        "home": {"password": "s3cret"},
                        "work": {"auth": {"identity": "i", "client-key-password": "s3cret"}},
                    }
                }
            },
            "tunnels": {"wg0": {"key": "s3cret", "peers": [{"keys": {"shared": "s3cret"}}]}},
        },
        "additionalFiles": [{"destination": "/etc/x", "content": "s3cret", "permissions": "0600"}],
    },
    "scripts": {
        "postConfigure": [
            {
                "name": "join",
                "content": SCRIPT,
                "environmentVariables": {
                    "DB_PASSWORD": "s3cret",
                    "apiToken": "s3cret",
                    "PLAIN": "1",
                },
            }
        ]
    },
}


def test_a_document_keeps_its_shape_and_loses_its_secrets() -> None:
    plain = json.loads(json.dumps(DOCUMENT))
    redacted = Redactor(secrets(plain)).document(plain)
    text = json.dumps(redacted)
    assert "s3cret" not in text
    assert "c2VjcmV0" not in text
    assert isinstance(redacted, dict)
    for kept in (
        "ssh-ed25519 AAAA b",
        "dangerous-plain-text",
        "/etc/x",
        "0600",
        "identity",
        "home",
    ):
        assert kept in text
    assert plain == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize(
    "text",
    [
        "fetching https://user:s3cret@host/image.cosi",
        "proxy=http://s3cret@10.0.0.1:3128/",
        "GET https://store/os.cosi?sv=2024&sig=s3cret&se=1",
        "GET https://store/os.cosi?X-Amz-Signature=s3cret",
        "Authorization: Bearer s3cret.s3cret",
        '{"headers": {"authorization": "Basic s3cret1234=="}}',
        "root:$6$saltsalt$s3crets3cret/s3cret:19000:0",
        "$y$j9T$s3crets3cret$s3cret",
        "password=s3cret user=x",
        "password: s3cret",
        '"password": "s3cret"',
        'level message \\"client_secret\\": \\"s3cret\\"',
        "MY_API_KEY='s3cret'",
        'password: "a s3cret, with blanks"',
        "password=a,s3cret;s3cret",
        '{\\"passphrase\\": \\"it is s3cret\\", \\"a\\": 1}',
        "--token=s3cret",
        "type: dangerous-plain-text\n      value: s3cret",
        "{type: dangerous-hashed, value: s3cret}",
        "value: s3cret\n  type: dangerous-plain-text",
        "printf 'root:%s' s3cret | sudo chpasswd -e",
        KEY.replace("c2VjcmV0", "s3cret"),
        "-----BEGIN RSA PRIVATE KEY-----\ns3cret and then the log ends",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_a_text(text: str) -> None:
    redacted = Redactor().text(text)
    assert "s3cret" not in redacted
    assert HIDDEN in redacted


@pytest.mark.parametrize(
    "text",
    [
        "mkfs.ext4 exited with 1: /dev/sda3 is mounted",
        "https://host:8080/v1/hosts/52:54:00:77:00:01/phonehome",
        "the script 'x' exited with 3; ssh root@host works",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI admin@host",
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
        "sha384: " + "a" * 96,
        "UUID=0fc63daf-8483-4772-8e79-3d69d8477de4 / ext4 defaults 0 1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_secrets_known_from_a_document_are_found_anywhere() -> None:
    known = secrets(json.loads(json.dumps({"password": "correct horse", "pin": {"token": "abc"}})))
    redactor = Redactor(known)
    assert redactor.text("it said: correct horse!") == f"it said: {HIDDEN}!"
    assert redactor.text("abc is too short to be looked for") == "abc is too short to be looked for"


def test_a_private_key_across_lines_of_a_long_text_is_taken_out() -> None:
    lines = ["before\n", *(f"{line}\n" for line in KEY.splitlines()), "after password=x1\n"]
    redacted = "".join(Redactor().lines(lines))
    assert "c2VjcmV0" not in redacted
    assert redacted.startswith(f"before\n{HIDDEN}\n")
    assert redacted.endswith(f"after password={HIDDEN}\n")


def test_redacting_again_changes_nothing() -> None:
    plain = json.loads(json.dumps(DOCUMENT))
    once = Redactor(secrets(plain)).document(plain)
    assert Redactor(secrets(once)).document(once) == once


@pytest.mark.parametrize("piece", ["a", "a.", "a-", "echo ", "password", "?a=", "http://", "$6$a"])
def test_a_long_line_takes_no_longer_than_its_length(piece: str) -> None:
    started = time.monotonic()
    Redactor().text(piece * (400_000 // len(piece)))
    assert time.monotonic() - started < 10
