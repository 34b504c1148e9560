from __future__ import annotations

import pytest

from agent.api.errors import Kind, TridentError, context


def failure() -> TridentError:
    return TridentError(
        Kind.SERVICING,
        "command-failed",
        "mkfs.ext4 exited with 1: /dev/sda3 is mounted",
        hint="rerun by hand: mkfs.ext4 /dev/sda3",
        fields={"binary": "mkfs.ext4"},
    )


def test_the_context_chain_grows_outwards() -> None:
    with pytest.raises(TridentError) as caught, context("provisioning"), context("creating 'root'"):
        raise failure()
    assert caught.value.context == ["creating 'root'", "provisioning"]


def test_an_operator_sees_error_context_hint_and_identifier() -> None:
    error = failure()
    error.context = ["creating 'root' on /dev/sda3", "provisioning (clean install)"]
    assert error.render().splitlines() == [
        "error: mkfs.ext4 exited with 1: /dev/sda3 is mounted",
        "  while creating 'root' on /dev/sda3",
        "  while provisioning (clean install)",
        "hint: rerun by hand: mkfs.ext4 /dev/sda3    servicing/command-failed",
    ]


def test_the_status_form_has_upstreams_keys() -> None:
    status = failure().to_status()
    assert status["category"] == "servicing"
    assert status["error"] == {"command-failed": {"binary": "mkfs.ext4"}}
    assert set(status) == {"message", "error", "category", "location", "cause"}


def test_the_location_is_where_it_was_raised() -> None:
    assert failure().location.startswith("api/test_errors.py:")


def test_a_variant_without_fields_is_its_name() -> None:
    assert TridentError(Kind.INTERNAL, "panic", "x").to_status()["error"] == "panic"
