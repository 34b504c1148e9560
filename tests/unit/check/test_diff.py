"""Which servicing a changed configuration takes, and what cannot be changed."""

import pytest

from agent.api.hostconfig import HostConfiguration
from agent.api.load import load
from agent.api.status import ServicingType
from agent.check.diff import (
    forbidden,
    select,
    with_known_image,
    with_known_paths,
    with_known_storage,
)

NONE = ServicingType.NO_ACTIVE_SERVICING
RUNTIME = ServicingType.RUNTIME_UPDATE
AB = ServicingType.AB_UPDATE
DISK = "{id: a, device: /dev/sda, partitionTableType: gpt, partitions: []}"
STORAGE = f"storage: {{disks: [{DISK}]}}\n"


def image(name: str = "a", sha384: str = "ignored") -> str:
    return f"image: {{url: 'https://host/{name}', sha384: '{sha384}'}}\n"


OLD = STORAGE + image() + "os: {hostname: a}\n"


def test_a_host_with_nothing_installed_gets_a_clean_install() -> None:
    assert select(HostConfiguration(), load(OLD)).servicing is ServicingType.CLEAN_INSTALL


@pytest.mark.parametrize(
    ("old", "new", "servicing"),
    [
        (OLD, OLD, NONE),
        (STORAGE, STORAGE + image(), AB),
        (image(), image("b"), AB),
        (image(), image(sha384="a" * 96), AB),
        (image(sha384="a" * 96), image(), AB),
        (image(sha384="a" * 96), image("b", sha384="A" * 96), NONE),
        (image(), image() + "internalParams: {forceAbUpdate: true}", AB),
        (STORAGE, STORAGE + "internalParams: {forceAbUpdate: true}", NONE),
        (STORAGE, STORAGE + "os: {hostname: b}", AB),
        (STORAGE, STORAGE + "os: {users: [{name: b}]}", AB),
        (STORAGE, STORAGE + "os: {modules: [{name: b}]}", AB),
        (STORAGE, STORAGE + "os: {services: {enable: [b]}}", AB),
        (STORAGE, STORAGE + "os: {kernelCommandLine: {extraCommandLine: [b]}}", AB),
        (STORAGE, STORAGE + "os: {selinux: {mode: disabled}}", AB),
        (STORAGE, STORAGE + "os: {additionalFiles: [{destination: /b, content: b}]}", AB),
        (STORAGE, STORAGE + "scripts: {postConfigure: [{content: b}]}", AB),
        (STORAGE, STORAGE + "os: {netplan: {version: 2}}", RUNTIME),
        (STORAGE, STORAGE + f"os: {{sysexts: [{{url: 'f:b', sha384: '{'b' * 96}'}}]}}", RUNTIME),
        (STORAGE, STORAGE + f"os: {{confexts: [{{url: 'f:b', sha384: '{'b' * 96}'}}]}}", RUNTIME),
        (STORAGE, STORAGE + "os: {uefiFallback: disabled}", RUNTIME),
        (STORAGE, STORAGE + "os: {hostname: b, netplan: {version: 2}}", AB),
        (STORAGE, STORAGE + "health: {checks: [{content: b}]}", NONE),
        (STORAGE, STORAGE + "trident: {phonehome: b}", NONE),
    ],
)
def test_the_most_far_reaching_change_decides(old: str, new: str, servicing: ServicingType) -> None:
    selection = select(load(old), load(new))
    assert selection.servicing is servicing
    assert bool(selection.reasons) == (servicing is not NONE)


def test_scripts_that_did_not_change_take_nothing() -> None:
    text = OLD + "scripts: {postConfigure: [{content: b}]}"
    assert select(load(text), load(text)).servicing is NONE


@pytest.mark.parametrize(
    ("new", "code", "path"),
    [
        (STORAGE, "deploy-partition-images-after-os-image", "image"),
        (image(), "storage-configuration-changed", "storage.disks"),
        (
            f"storage: {{disks: [{DISK}], abUpdate: {{volumePairs: []}}}}\n" + image(),
            "storage-configuration-changed",
            "storage.abUpdate",
        ),
        (
            OLD + "trident: {datastorePath: /srv/x.sqlite}",
            "datastore-path-changed",
            "trident.datastorePath",
        ),
    ],
)
def test_what_an_update_cannot_change_is_refused(new: str, code: str, path: str) -> None:
    (finding,) = forbidden(load(OLD), load(new))
    assert (finding.code, finding.path) == (code, path)
    assert finding.error_code == "invalid-host-configuration-dynamic"


def test_a_storage_change_can_be_allowed() -> None:
    allowed = image() + "internalParams: {allowHostConfigStorageChange: true}"
    assert forbidden(load(OLD), load(allowed)) == []


def test_a_clean_install_changes_whatever_it_wants() -> None:
    assert forbidden(HostConfiguration(), load(OLD)) == []


def test_an_update_with_an_image_alone_keeps_the_recorded_storage() -> None:
    old = load(OLD)
    assert with_known_storage(load(image("b")), old).storage == old.storage
    assert with_known_storage(load("os: {hostname: b}"), old).storage == load("{}").storage


@pytest.mark.parametrize(
    ("recorded", "given", "servicing"),
    [
        (image(sha384="a" * 96), image(), NONE),
        (image(sha384="a" * 96), image() + "os: {netplan: {version: 2}}", RUNTIME),
        (image(sha384="a" * 96), image("b"), AB),
        (image(sha384="a" * 96), image(sha384="b" * 96), AB),
        (image(sha384="a" * 96), image() + "internalParams: {forceAbUpdate: true}", AB),
        (STORAGE, image(), AB),
    ],
)
def test_an_image_without_a_hash_is_the_recorded_one_of_that_url(
    recorded: str, given: str, servicing: ServicingType
) -> None:
    old = load(recorded)
    assert select(old, with_known_image(load(given), old)).servicing is servicing


def sysext(digit: str, path: str | None = None) -> str:
    stated = f", path: {path}" if path else ""
    return f"os: {{sysexts: [{{url: 'https://h/x.raw', sha384: '{digit * 96}'{stated}}}]}}"


@pytest.mark.parametrize(
    ("recorded", "given", "servicing"),
    [
        ("/var/lib/extensions/tools.raw", sysext("a"), NONE),
        ("/var/lib/extensions/tools.raw", sysext("b"), RUNTIME),
        ("/var/lib/extensions/tools.raw", sysext("a", "/etc/extensions/tools.raw"), RUNTIME),
        ("/etc/extensions/tools.raw", sysext("a"), RUNTIME),
    ],
)
def test_a_place_that_was_found_out_is_no_difference(
    recorded: str, given: str, servicing: ServicingType
) -> None:
    old = load(STORAGE + sysext("a", recorded))
    new = with_known_paths(load(STORAGE + given), old)
    assert select(old, new).servicing is servicing
