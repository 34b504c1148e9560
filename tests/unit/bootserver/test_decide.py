"""The boot decision: every row of the architecture table, and who is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootserver.boot.decide import Subject, decide
from bootserver.boot.machine import (
    Answer,
    Architecture,
    Bootfile,
    BootUrl,
    Ignore,
    LocalDisk,
    Machine,
)
from bootserver.settings import Loader

MAC = "52:54:00:77:00:01"
BASE = "http://10.77.0.1:8080"
PRESENT = frozenset(
    ("bios/undionly.kpxe", "x86_64/snponly.efi", "x86_64/shimx64.efi", "arm64/snponly.efi")
)
DECLARED = Subject(declared=True)
FIRMWARE = Machine(MAC, Architecture.EFI_X86_64, 7, is_pxe=True)
IPXE = replace(FIRMWARE, is_ipxe=True)
INSTALLED = replace(DECLARED, installed=True)


def answer(
    machine: Machine, subject: Subject, present: frozenset[str] = PRESENT, cpu: str = "x86_64"
) -> Answer:
    return decide(machine, subject, present, cpu, BASE)


@pytest.mark.parametrize(
    ("architecture", "loader", "expected"),
    [
        (Architecture.BIOS, Loader.IPXE, Bootfile("bios/undionly.kpxe")),
        (Architecture.BIOS, Loader.SHIM, Bootfile("bios/undionly.kpxe")),
        (Architecture.EFI_X86_64, Loader.IPXE, Bootfile("x86_64/snponly.efi")),
        (Architecture.EFI_X86_64, Loader.SHIM, Bootfile("x86_64/shimx64.efi")),
        (Architecture.EFI_ARM64, Loader.IPXE, Bootfile("arm64/snponly.efi")),
        (
            Architecture.HTTP_X86_64,
            Loader.IPXE,
            BootUrl(f"{BASE}/artifacts/x86_64/snponly.efi"),
        ),
        (Architecture.HTTP_ARM64, Loader.IPXE, BootUrl(f"{BASE}/artifacts/arm64/snponly.efi")),
    ],
)
def test_each_architecture_gets_its_loader(
    architecture: Architecture, loader: Loader, expected: Answer
) -> None:
    machine = replace(FIRMWARE, architecture=architecture)
    assert answer(machine, replace(DECLARED, loader=loader)) == expected


def test_an_architecture_without_a_loader_is_left_alone() -> None:
    machine = replace(FIRMWARE, architecture=Architecture.OTHER, architecture_code=39)
    assert answer(machine, DECLARED) == Ignore("no loader for architecture code 39")


@pytest.mark.parametrize("architecture", [a for a in Architecture if a is not Architecture.OTHER])
def test_a_loader_that_is_not_there_is_not_promised(architecture: Architecture) -> None:
    found = answer(replace(FIRMWARE, architecture=architecture), DECLARED, frozenset())
    assert isinstance(found, Ignore)
    assert "is not in the artefact folder" in found.why


def test_ipxe_gets_the_script_of_its_machine() -> None:
    assert answer(IPXE, DECLARED) == BootUrl(f"{BASE}/ipxe/{MAC}")


def test_ipxe_on_another_processor_than_the_images_is_left_alone() -> None:
    machine = replace(IPXE, architecture=Architecture.EFI_ARM64)
    assert isinstance(answer(machine, DECLARED), Ignore)
    assert answer(machine, DECLARED, cpu="arm64") == BootUrl(f"{BASE}/ipxe/{MAC}")


@pytest.mark.parametrize(
    "machine",
    [
        IPXE,
        replace(FIRMWARE, architecture=Architecture.BIOS, architecture_code=0),
        replace(FIRMWARE, architecture=Architecture.HTTP_X86_64, architecture_code=16),
        replace(FIRMWARE, architecture=Architecture.OTHER, architecture_code=39),
    ],
)
def test_an_undeclared_machine_is_left_alone(machine: Machine) -> None:
    assert answer(machine, Subject(declared=False)) == Ignore("not declared")


@pytest.mark.parametrize("architecture", [Architecture.EFI_X86_64, Architecture.EFI_ARM64])
def test_uefi_pxe_of_an_undeclared_machine_is_sent_on_to_its_disk(
    architecture: Architecture,
) -> None:
    machine = replace(FIRMWARE, architecture=architecture)
    assert answer(machine, Subject(declared=False)) == LocalDisk("not declared")


@pytest.mark.parametrize("loader", list(Loader))
def test_an_installed_machine_gets_the_loader_whose_script_leaves_for_the_disk(
    loader: Loader,
) -> None:
    fresh, installed = replace(DECLARED, loader=loader), replace(INSTALLED, loader=loader)
    assert answer(FIRMWARE, installed) == answer(FIRMWARE, fresh)
    assert installed.refusal == "installed: boots its own disk"


def test_ipxe_on_an_installed_machine_gets_the_script_that_leaves() -> None:
    assert answer(IPXE, INSTALLED) == BootUrl(f"{BASE}/ipxe/{MAC}")


def test_a_granted_reinstall_is_no_refusal() -> None:
    granted = replace(INSTALLED, reinstall=True)
    assert answer(FIRMWARE, granted) == Bootfile("x86_64/snponly.efi")
    assert granted.refusal is None


def test_a_machine_with_a_refused_configuration_is_not_booted() -> None:
    refused = replace(DECLARED, problem="its Host Configuration is refused: x")
    assert answer(FIRMWARE, refused) == Ignore("its Host Configuration is refused: x")


def test_a_refused_configuration_does_not_keep_an_installed_machine_from_its_disk() -> None:
    subject = replace(INSTALLED, problem="refused")
    assert answer(FIRMWARE, subject) == Bootfile("x86_64/snponly.efi")
    assert subject.refusal == "installed: boots its own disk"
    granted = replace(subject, reinstall=True)
    assert answer(FIRMWARE, granted) == Ignore("refused")


def test_a_machine_that_only_wants_an_address_gets_no_boot_file() -> None:
    machine = replace(FIRMWARE, is_pxe=False)
    assert answer(machine, DECLARED) == Ignore("does not ask to boot from the network")
