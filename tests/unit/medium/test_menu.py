from __future__ import annotations

import re

import pytest

from agent.api.errors import TridentError
from agent.medium import layout, menu
from agent.medium.menu import Menu

LABEL = "TRIDENT_0123456789AB"
ATTENDED = Menu(label=LABEL)
UNATTENDED = Menu(label=LABEL, unattended=True, countdown_s=7)


def kernel_lines(text: str, word: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in map(str.strip, text.splitlines()) if word in line]


def test_both_loaders_start_the_same_kernels_with_the_same_words() -> None:
    grub = [line.split(" ", 1)[1] for line in kernel_lines(menu.grub(ATTENDED), "linux (")]
    isolinux = kernel_lines(menu.isolinux(ATTENDED), "APPEND ")
    assert grub == isolinux
    assert len(grub) == 4


def test_every_kernel_is_told_its_medium_and_both_consoles() -> None:
    for line in kernel_lines(menu.isolinux(ATTENDED), "APPEND "):
        words = line.split()
        assert words[0] == f"trident.medium={LABEL}"
        assert {"console=tty0", "console=ttyS0,115200n8"} <= set(words)


def test_the_entries_differ_by_their_word() -> None:
    own = [set(line.split()) for line in kernel_lines(menu.isolinux(ATTENDED), "APPEND ")]
    common = set.intersection(*own)
    assert [words - common for words in own] == [
        set(),
        {"trident.reinstall"},
        {"trident.attended"},
        {"trident.shell", "trident.attended"},
    ]


def test_an_unattended_medium_counts_down_to_the_installation() -> None:
    assert "set default=install\nset timeout=7\n" in menu.grub(UNATTENDED)
    assert "DEFAULT install\nTIMEOUT 70\n" in menu.isolinux(UNATTENDED)


def test_a_medium_without_anything_to_install_waits_for_an_operator() -> None:
    assert "timeout" not in menu.grub(ATTENDED)
    assert "TIMEOUT" not in menu.isolinux(ATTENDED)
    assert "DEFAULT attended\n" in menu.isolinux(ATTENDED)


def test_every_text_fills_its_file_whatever_the_menu() -> None:
    for chosen in (ATTENDED, UNATTENDED, Menu(label=LABEL, arguments=("x" * 1500,))):
        for text in menu.texts(chosen).values():
            assert len(text) == layout.MENU_BYTES


def test_arguments_that_no_kernel_would_read_are_refused_with_both_lengths() -> None:
    with pytest.raises(TridentError, match=r"\d+ bytes; 1800") as caught:
        menu.texts(Menu(label=LABEL, arguments=("x" * 1000, "y" * 1000)))
    assert caught.value.code == "kernel-arguments-too-long"


@pytest.mark.parametrize("word", ["a b", "", 'say="hi"', "$(reboot)", "a;b", "x\ny", "a'b", "ä"])
def test_words_that_a_loader_would_read_differently_are_refused(word: str) -> None:
    with pytest.raises(TridentError) as caught:
        menu.chosen(label=LABEL, arguments=[word], unattended=False, countdown_s=5)
    assert caught.value.code == "kernel-argument"


def test_the_local_disk_is_never_the_medium_itself() -> None:
    text = menu.grub(ATTENDED)
    tests = re.findall(r"if \[ -f \$\{disk\}(\S+) -a ! -f \$\{disk\}/(\S+) \]", text)
    assert tests
    assert {marker for _, marker in tests} == {menu.MARKER}
    assert text.count("chainloader") == len(tests)


def test_every_entry_has_a_key_of_its_own_the_same_in_both_menus() -> None:
    grub = re.findall(r"--hotkey=(\w)", menu.grub(ATTENDED))
    isolinux = re.findall(r"MENU LABEL .*?\^(\w)", menu.isolinux(ATTENDED))
    assert grub == [key.lower() for key in isolinux]
    assert len(set(grub)) == 5
    assert not {"c", "e"} & set(grub), "GRUB's own keys"


@pytest.mark.parametrize(
    ("local", "first"),
    [
        (menu.Local.ANY, "/EFI/BOOT/BOOTX64.EFI"),
        (menu.Local.A, "/EFI/AZLA/BOOTX64.EFI"),
        (menu.Local.B, "/EFI/AZLB/BOOTX64.EFI"),
    ],
)
def test_the_medium_of_an_installed_machine_starts_the_loader_of_its_active_volume(
    local: menu.Local, first: str
) -> None:
    installed = Menu(label=LABEL, local=local, countdown_s=4)
    grub, isolinux = menu.grub(installed), menu.isolinux(installed)
    assert "set default=local\nset timeout=4\n" in grub
    loaders = re.findall(r"chainloader \$\{disk\}(\S+)", grub)
    assert loaders[0] == first
    assert sorted(loaders) == sorted(set(loaders))
    assert len(loaders) == 3
    assert grub.count("      set root=${disk}\n      chainloader") == 3
    assert "DEFAULT local\nTIMEOUT 40\n" in isolinux
    assert isolinux.endswith("  MENU DEFAULT\n  LOCALBOOT -1\n")
