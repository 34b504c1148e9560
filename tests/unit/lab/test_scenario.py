"""Scenario files: what is accepted, and that what is wrong is named with its path."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from lab import scenario
from lab.errors import LabError

SCENARIOS = sorted(Path("tests/vm/scenarios").glob("*.yaml"))
LEAST = """
description: the least a scenario needs
steps: [{powerOn: {}}]
expect: [{state: {equals: provisioned}}]
"""


def test_the_least_scenario_has_one_declared_uefi_machine_with_a_blank_disk() -> None:
    parsed = scenario.parse(LEAST)
    (machine,) = parsed.machines
    assert machine.declared_by == "command"
    assert machine.firmware == "uefi"
    assert [disk.content for disk in machine.disks] == ["blank"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"speed": "fast"}, "speed"),
        ({"steps": [{"powerOn": {}, "reset": {}}]}, "steps.0"),
        ({"steps": [{"explode": {}}]}, "steps.0.explode"),
        ({"steps": [{"wait": {"limitSeconds": 3}}]}, "steps.0.wait"),
        ({"steps": [{"wait": {"console": "["}}]}, "steps.0.wait.console"),
        ({"steps": [{"powerOn": {"machine": "nobody"}}]}, "nobody"),
        ({"machines": [{"mac": "52-54-00-77-00-01"}]}, "machines.0.mac"),
        ({"expect": []}, "expect"),
        ({"extensions": {"x": {"name": "x", "files": {"../x": ""}}}}, "extensions.x"),
        ({"extensions": {"image": {"name": "x", "files": {"usr/x": ""}}}}, "'image'"),
        ({"machines": [{"name": "a"}, {"name": "b"}]}, "must differ"),
    ],
)
def test_a_wrong_scenario_is_refused_and_the_place_named(
    change: dict[str, object], path: str
) -> None:
    document = yaml.safe_load(LEAST) | change
    with pytest.raises(LabError, match=path):
        scenario.parse(yaml.safe_dump(document))


def test_text_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(LabError, match="not YAML"):
        scenario.parse("steps: [")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_of_the_project_is_valid_and_matches_the_schema(path: Path) -> None:
    scenario.load(path)
    document = yaml.safe_load(path.read_text())
    jsonschema.Draft202012Validator(scenario.schema()).validate(document)


def test_scenarios_are_named_after_what_they_try() -> None:
    kinds = {"pxe", "install", "update", "rollback", "commit", "power", "iso", "usb"}
    assert {path.stem.split("-")[0] for path in SCENARIOS} <= kinds
    assert all(scenario.NAME.match(path.stem) for path in SCENARIOS)


def test_media_from_the_server_are_made_of_one() -> None:
    served = {"from": "server", "options": ["--countdown", "3"]}
    machines = [
        {"name": "one", "mac": "52:54:00:00:00:01", "medium": served},
        {"name": "two", "mac": "52:54:00:00:00:02", "medium": {**served, "as": "usb"}},
    ]
    common = {"description": "x", "steps": [{"powerOn": {}}], "expect": [{"console": {}}]}
    scenario.Scenario.model_validate({**common, "machines": machines})
    machines[1]["medium"] = {"from": "server"}
    with pytest.raises(ValueError, match="media from the server are made of one"):
        scenario.Scenario.model_validate({**common, "machines": machines})
