"""docs/lab.md and the models say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic.alias_generators import to_camel

from lab import scenario
from lab.model import Model

PAGE = Path("docs/lab.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_is_a_scenario() -> None:
    assert scenario.parse(BLOCKS[0]).steps


def test_the_autologin_block_is_the_one_of_the_labs_own_host_configuration() -> None:
    own = yaml.safe_load(Path("lab/files/host-configuration.yaml").read_text())
    shown = yaml.safe_load(BLOCKS[1])
    assert shown["os"]["additionalFiles"] == own["os"]["additionalFiles"]


@pytest.mark.parametrize(
    "model",
    [
        scenario.Scenario,
        scenario.Server,
        scenario.Image,
        scenario.Extension,
        scenario.Damage,
        scenario.Machine,
        scenario.Medium,
        scenario.Disk,
        scenario.Condition,
        scenario.Step,
        scenario.GuestCommand,
        scenario.SetHostConfiguration,
        scenario.Expectation,
        scenario.Timeline,
        scenario.BootEntries,
    ],
)
def test_every_key_is_documented(model: type[Model]) -> None:
    missing = [name for name in map(to_camel, model.model_fields) if name not in PAGE]
    assert missing == []
