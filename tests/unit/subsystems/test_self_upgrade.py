"""selfUpgradeTrident: when it is refused before anything is touched, and copying."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.api.errors import TridentError
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.subsystems import self_upgrade
from agent.subsystems.self_upgrade import Agent
from tests.unit.subsystems.boot.test_arguments import write
from tests.unit.subsystems.storage.samples import CONFIGURATION, configuration

WANTED = CONFIGURATION + "internalParams: {selfUpgradeTrident: true}\n"


def context(text: str = WANTED, root: Path = Path("/nowhere")) -> Context:
    return Context(configuration(text), ServicingType.CLEAN_INSTALL, newroot=root)


def test_it_is_wanted_unless_the_target_has_no_agent_anyway() -> None:
    assert self_upgrade.wanted(context())
    assert not self_upgrade.wanted(context(CONFIGURATION))
    assert not self_upgrade.wanted(context(WANTED + "trident: {disable: true}\n"))
    assert list(self_upgrade.steps(context(CONFIGURATION))) == []


def test_an_agent_in_a_checkout_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(TridentError, match="this system has no") as caught:
        self_upgrade.require_possible(context(), Agent(tmp_path / "home", tmp_path / "trident"))
    assert caught.value.code == "copy-trident-binary"


def test_a_read_only_root_is_refused_in_advance(tmp_path: Path) -> None:
    installed = Agent(tmp_path, write(tmp_path, "trident", ""))
    self_upgrade.require_possible(context(), installed)
    read_only = WANTED.replace("mountPoint: /}", "mountPoint: {path: /, options: ro}}")
    with pytest.raises(TridentError, match="/ is mounted read-only in the target"):
        self_upgrade.require_possible(context(read_only), installed)
