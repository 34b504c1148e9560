"""Kernel arguments: what is wanted, and the files that say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.osconfig import KernelCommandLine, Os, Selinux, SelinuxMode
from agent.api.parttypes import Architecture
from agent.linux.grub import Change
from agent.subsystems.boot import arguments, esp
from agent.subsystems.boot.families import AZURE_LINUX, DEBIAN
from tests.unit.subsystems.storage.samples import metadata

EXTRA = Os(kernel_command_line=KernelCommandLine(extra_command_line=("panic=5", "quiet")))
ENTRY = "menuentry a {\n\tlinux /vmlinuz root=UUID=1 ro selinux=0\n}\n"
STUB = "search -n -u 1adc13e8-f140-4109-9eee-bd8e1efe96b8 -s\nconfigfile /boot/grub2/grub.cfg\n"
UKI: dict[str, Any] = {
    "type": "systemd-boot",
    "systemdBoot": {"entries": [
        {"type": "uki-standalone", "path": "/EFI/Linux/a.efi", "cmdline": "ro", "kernel": "6"}
    ]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (SelinuxMode.DISABLED, ("selinux=0",)),
        (SelinuxMode.PERMISSIVE, ("security=selinux", "selinux=1", "enforcing=0")),
        (SelinuxMode.ENFORCING, ("security=selinux", "selinux=1", "enforcing=1")),
    ],
)
def test_selinux_has_arguments_of_its_own_before_the_operators(
    mode: SelinuxMode, words: tuple[str, ...]
) -> None:
    wanted = arguments.wanted(EXTRA.model_copy(update={"selinux": Selinux(mode=mode)}))
    assert wanted.added == (*words, "panic=5", "quiet")
    assert wanted.removed == {"security", "selinux", "enforcing"}


def test_nothing_asked_for_changes_nothing() -> None:
    assert arguments.wanted(Os()) == Change()


def test_a_uki_keeps_its_arguments_so_others_are_refused() -> None:
    arguments.require_changeable(EXTRA, metadata())
    arguments.require_changeable(Os(), metadata(bootloader=UKI))
    with pytest.raises(TridentError, match="holds its kernel arguments inside") as caught:
        arguments.require_changeable(EXTRA, metadata(bootloader=UKI))
    assert caught.value.identifier == "unsupported-configuration/kernel-command-line-fixed"


def write(root: Path, name: str, text: str) -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_azure_linux_has_its_own_grub_cfg_and_its_defaults_changed(tmp_path: Path) -> None:
    esp_config = write(tmp_path, "boot/efi/EFI/AZLA/grub.cfg", STUB)
    own = write(tmp_path, "boot/grub2/grub.cfg", ENTRY)
    defaults = write(tmp_path, "etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="rd.x"\n')
    arguments.write(tmp_path, AZURE_LINUX, esp_config, Change(frozenset({"selinux"}), ("quiet",)))
    assert own.read_text() == "menuentry a {\n\tlinux /vmlinuz root=UUID=1 ro quiet\n}\n"
    assert esp_config.read_text() == STUB
    assert defaults.read_text().endswith(
        'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT quiet"\n'
    )


def test_debians_defaults_are_a_file_of_their_own(tmp_path: Path) -> None:
    esp_config = write(tmp_path, "boot/efi/EFI/AZLA/grub.cfg", ENTRY)
    untouched = write(tmp_path, "etc/default/grub", "GRUB_TIMEOUT=5\n")
    arguments.write(tmp_path, DEBIAN, esp_config, Change(added=("quiet",)))
    assert untouched.read_text() == "GRUB_TIMEOUT=5\n"
    assert "quiet" in (tmp_path / "etc/default/grub.d/50-trident.cfg").read_text()


def test_an_image_without_grub_tools_gets_no_defaults(tmp_path: Path) -> None:
    esp_config = write(tmp_path, "boot/efi/EFI/AZLA/grub.cfg", ENTRY)
    arguments.write(tmp_path, DEBIAN, esp_config, Change(added=("quiet",)))
    assert not (tmp_path / "etc").exists()


def test_arguments_that_reach_no_kernel_are_an_error(tmp_path: Path) -> None:
    esp_config = write(tmp_path, "boot/efi/EFI/AZLA/grub.cfg", STUB)
    with pytest.raises(TridentError, match="of the image has a") as caught:
        arguments.write(tmp_path, DEBIAN, esp_config, Change(added=("quiet",)))
    assert caught.value.code == "update-grub-configs"


def test_the_grub_cfg_on_the_esp_is_written_with_the_arguments(tmp_path: Path) -> None:
    for name in ("bootx64.efi", "grubx64.efi"):
        write(tmp_path, f"EFI/BOOT/{name}", name)
    write(tmp_path, "EFI/BOOT/grub.cfg", STUB + ENTRY)
    uuid = "88d2fa9b-7a32-450a-a9f8-aa9c3de79298"
    selected = esp.select(
        tmp_path, DEBIAN, Architecture.X86_64, "AZLA", uuid, change=Change(added=("quiet",)),
        panic_s=30,
    )  # fmt: skip
    content = selected[-1].content
    assert isinstance(content, bytes)
    assert b"root=UUID=1 ro selinux=0 quiet panic=30\n" in content
