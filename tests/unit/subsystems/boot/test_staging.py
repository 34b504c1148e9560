"""What staging decides from the context."""

from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.subsystems.boot import staging
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration


def test_available_memory_is_what_the_kernel_says() -> None:
    assert staging.available_bytes("MemTotal: 9 kB\nMemAvailable:   1024 kB\n") == 1 << 20
    assert staging.available_bytes("") == 0


def test_the_esp_is_where_the_configuration_mounts_it() -> None:
    context = Context(configuration(), ServicingType.CLEAN_INSTALL)
    assert staging.esp_root(context) == context.newroot / "boot/efi"


def test_a_configuration_without_an_esp_says_what_to_add() -> None:
    text = CONFIGURATION.replace("mountPoint: {path: /boot/efi", "mountPoint: {path: /data")
    context = Context(configuration(text), ServicingType.CLEAN_INSTALL)
    with pytest.raises(TridentError, match="no EFI system partition") as caught:
        staging.esp_filesystem(context)
    assert caught.value.fields["inner"] == "esp-mount-point-not-found"
    assert "/boot/efi" in str(caught.value.hint)
