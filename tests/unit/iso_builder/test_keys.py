"""Keys that sign what is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.linux.run import run
from agent.trust import keys
from iso_builder.cli import main


def test_a_generated_key_is_private_and_its_pair_checks_what_it_signs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "site.key"
    assert main(["key", "generate", "-o", str(target)]) == 0
    assert target.stat().st_mode & 0o777 == 0o600
    key = keys.load_signing(target)
    public = keys.load_public(tmp_path / "site.key.pub")
    assert key.public.identity == public.identity
    assert public.identity in capsys.readouterr().out
    signature = key.sign(b"text")
    assert len(signature) == 64
    assert public.signed(b"text", signature)
    assert not public.signed(b"texu", signature)
    assert not keys.generate().public.signed(b"text", signature)


def test_a_key_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "site.key"
    assert main(["key", "generate", "-o", str(target)]) == 0
    before = target.read_bytes()
    assert main(["key", "generate", "-o", str(target)]) == 1
    assert target.read_bytes() == before
    assert "invalid-input/write-output-file" in capsys.readouterr().err


def test_a_key_that_openssl_made_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "key.pem"
    run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", target])
    assert main(["key", "show", str(target)]) == 0
    shown = run(["openssl", "pkey", "-in", target, "-pubout"]).stdout
    assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize("algorithm", ["RSA", "X25519", None])
def test_other_keys_and_other_files_are_refused(tmp_path: Path, algorithm: str | None) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    if algorithm is None:
        private.write_text("no key\n")
        public.write_text("no key\n")
    else:
        run(["openssl", "genpkey", "-algorithm", algorithm, "-out", private])
        run(["openssl", "pkey", "-in", private, "-pubout", "-out", public])
    for load, path in ((keys.load_signing, private), (keys.load_public, public)):
        with pytest.raises(TridentError) as caught:
            load(path)
        assert caught.value.identifier == "invalid-input/signing-key"


def test_a_key_with_a_password_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"]
    run([*command, "-out", path])
    with pytest.raises(TridentError, match="password"):
        keys.load_signing(path)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match="none") as caught:
        keys.load_public(tmp_path / "none")
    assert caught.value.code == "read-input-file"
