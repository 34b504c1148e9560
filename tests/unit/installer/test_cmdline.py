from __future__ import annotations

import pytest

from agent.api.errors import TridentError
from installer import cmdline


def test_the_parameters_of_a_network_boot_are_read() -> None:
    text = (
        "initrd=initrd.img trident.rootfs=http://10.77.0.1:8080/artifacts/rootfs.squashfs "
        "trident.server=http://10.77.0.1:8080/ BOOTIF=01-52-54-00-AB-CD-01 console=ttyS0\n"
    )
    assert cmdline.parse(text) == cmdline.BootParameters(
        server="http://10.77.0.1:8080", mac="52:54:00:ab:cd:01"
    )


def test_a_medium_without_parameters_has_none() -> None:
    assert cmdline.parse("quiet splash") == cmdline.BootParameters()


def test_the_parameters_of_a_medium_are_read() -> None:
    text = "trident.medium=TRIDENT_0123456789AB trident.reinstall console=ttyS0"
    assert cmdline.parse(text) == cmdline.BootParameters(
        medium="TRIDENT_0123456789AB", reinstall=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "trident.server=10.77.0.1",
        "trident.server=file:///etc/passwd",
        "trident.server=http:///path-only",
        "BOOTIF=52-54-00-ab-cd-01",
        "BOOTIF=01-52-54-00-ab-cd",
        "BOOTIF=06-52-54-00-ab-cd-01",
    ],
)
def test_a_value_that_cannot_be_meant_names_who_must_act(text: str) -> None:
    with pytest.raises(TridentError) as caught:
        cmdline.parse(text)
    assert caught.value.identifier == "initialization/read-cmdline"
    assert "boot server" in (caught.value.hint or "")
