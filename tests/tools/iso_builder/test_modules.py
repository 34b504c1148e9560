"""Modules are copied with all that they need, as depmod and modprobe see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from iso_builder import debian, kernel, packages
from iso_builder.kernel import Choice

pytestmark = pytest.mark.tools

RELEASE_FOLDER = "lib/modules"


@pytest.fixture(scope="module", name="source")
def kernel_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("kernel")
    with debian.unpacked(packages.kernel(packages.KernelFlavour.CLOUD)) as unpacked:
        (unpacked / "lib").rename(tree / "lib")
    kernel.index(tree, release_of(tree))
    return tree


def release_of(tree: Path) -> str:
    return next((tree / RELEASE_FOLDER).iterdir()).name


def test_a_chosen_module_brings_its_dependencies_and_nothing_else(
    source: Path, tmp_path: Path
) -> None:
    release = release_of(source)
    count = kernel.copy_modules(
        source, tmp_path, release, Choice(keep=("drivers/net/virtio_net.ko",))
    )
    names = {path.name for path in tmp_path.rglob("*.ko")}
    assert {"virtio_net.ko", "net_failover.ko", "failover.ko"} <= names
    assert len(names) == count < 12
    again = {path.name for path in kernel.closure(tmp_path, release, ["virtio_net"])}
    assert again == names


def test_a_choice_that_names_nothing_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(TridentError) as caught:
        kernel.copy_modules(source, tmp_path, release_of(source), Choice(keep=("drivers/none",)))
    assert caught.value.code == "no-modules"
