from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from installer import receipt

LABEL = "TRIDENT_0123456789AB"


def test_a_machine_without_a_receipt_is_installed(tmp_path: Path) -> None:
    receipt.require_new(LABEL, b"config", tmp_path)


def test_the_same_medium_does_not_install_the_same_configuration_twice(tmp_path: Path) -> None:
    receipt.leave(LABEL, b"config", tmp_path)
    with pytest.raises(TridentError, match=LABEL) as caught:
        receipt.require_new(LABEL, b"config", tmp_path)
    assert caught.value.identifier == "initialization/installed-already"
    assert "trident.reinstall" in (caught.value.hint or "")


def test_another_medium_or_another_configuration_is_new(tmp_path: Path) -> None:
    receipt.leave(LABEL, b"config", tmp_path)
    receipt.require_new("TRIDENT_BA9876543210", b"config", tmp_path)
    receipt.require_new(LABEL, b"changed", tmp_path)


def test_only_the_last_installation_counts(tmp_path: Path) -> None:
    receipt.leave(LABEL, b"one", tmp_path)
    receipt.leave(LABEL, b"two", tmp_path)
    receipt.require_new(LABEL, b"one", tmp_path)
