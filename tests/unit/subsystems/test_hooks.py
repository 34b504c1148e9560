"""Hooks with real processes. The newroot is a plain directory; chroots need more and run in VMs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration, ServicingTypeSelection
from agent.api.status import ServicingType
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.subsystem import Phase, Step
from agent.reporting.recorder import Recorder
from agent.subsystems import hooks, scripts
from agent.subsystems.hooks import Hooks


def context(newroot: Path, **document: Any) -> Context:
    configuration = HostConfiguration.model_validate_json(json.dumps(document))
    return Context(configuration, ServicingType.CLEAN_INSTALL, newroot=newroot)


def run(context: Context, *, phases: frozenset[Phase]) -> list[Step]:
    subsystem = Hooks()
    subsystem.validate(context)
    steps = [step for step in subsystem.stage(context) if step.phase in phases]
    execute(steps, context, Recorder("install", []))
    return steps


UNTIL_PROVISION = frozenset({Phase.PRE_SERVICING, Phase.PREPARE, Phase.PROVISION})


def test_a_script_sees_its_variables_arguments_and_interpreter(tmp_path: Path) -> None:
    text = (
        'echo "$SERVICING_TYPE $TARGET_ROOT $PHONEHOME_URL $EXTRA $1 $(basename "$0")" '
        '> "$TARGET_ROOT/out"'
    )
    given = context(
        tmp_path,
        trident={"phonehome": "http://server/phonehome"},
        scripts={
            "postProvision": [
                {
                    "name": "first",
                    "runOn": ["clean-install"],
                    "interpreter": "/bin/bash",
                    "content": text,
                    "arguments": ["one"],
                    "environmentVariables": {"EXTRA": "x"},
                }
            ]
        },
    )
    run(given, phases=UNTIL_PROVISION)
    assert (tmp_path / "out").read_text() == (
        f"clean_install {tmp_path} http://server/phonehome x one script\n"
    )


def test_only_scripts_of_this_servicing_type_run(tmp_path: Path) -> None:
    def item(name: str, *run_on: str) -> dict[str, Any]:
        return {"name": name, "runOn": list(run_on), "content": f'touch "$TARGET_ROOT/{name}"'}

    given = context(
        tmp_path,
        scripts={
            "postProvision": [
                item("install", "clean-install", "ab-update"),
                item("every", "all"),
                item("update", "ab-update", "runtime-update"),
                item("never"),
            ]
        },
    )
    run(given, phases=UNTIL_PROVISION)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["every", "install"]
    assert scripts.selected([ServicingTypeSelection.AB_UPDATE], ServicingType.AB_UPDATE)


def test_a_script_by_path_is_what_it_was_when_prepared(tmp_path: Path) -> None:
    source = tmp_path / "source.sh"
    source.write_text('echo before > "$TARGET_ROOT/out"')
    given = context(
        tmp_path,
        scripts={"postProvision": [{"name": "p", "runOn": ["all"], "path": str(source)}]},
    )
    subsystem = Hooks()
    subsystem.validate(given)
    steps = subsystem.stage(given)
    recorder = Recorder("install", [])
    execute([step for step in steps if step.phase is Phase.PREPARE], given, recorder)
    source.unlink()
    execute([step for step in steps if step.phase is Phase.PROVISION], given, recorder)
    assert (tmp_path / "out").read_text() == "before\n"


def test_a_missing_script_or_file_is_found_before_anything_runs(tmp_path: Path) -> None:
    for document in (
        {"scripts": {"postConfigure": [{"runOn": ["all"], "path": "/nowhere"}]}},
        {"os": {"additionalFiles": [{"destination": "/x", "source": "/nowhere"}]}},
    ):
        given = context(tmp_path, **document)
        with pytest.raises(TridentError, match="/nowhere cannot be read"):
            Hooks().validate(given)


def test_a_failed_script_is_named_with_the_end_of_its_output(tmp_path: Path) -> None:
    """F63."""
    given = context(
        tmp_path,
        scripts={
            "preServicing": [
                {"name": "sick", "runOn": ["all"], "content": "echo no disk >&2; exit 7"}
            ]
        },
    )
    with pytest.raises(TridentError) as caught:
        run(given, phases=UNTIL_PROVISION)
    assert caught.value.identifier == "servicing/run-pre-servicing-script"
    assert caught.value.message == "the script 'sick' exited with 7: no disk"
    assert caught.value.fields == {"script-name": "sick"}


def test_files_are_written_with_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"\x00\xff")
    source.chmod(0o750)
    newroot = tmp_path / "newroot"
    newroot.mkdir()
    given = context(
        newroot,
        os={
            "additionalFiles": [
                {"destination": "/etc/new/a", "content": "text\n", "permissions": "0600"},
                {"destination": "/b", "content": ""},
                {"destination": "/c", "source": str(source)},
                {"destination": "/d", "source": str(source), "permissions": "0444"},
            ]
        },
    )
    run(given, phases=frozenset({Phase.PREPARE, Phase.CONFIGURE}))
    modes = {
        str(path.relative_to(newroot)): oct(path.stat().st_mode & 0o777)
        for path in newroot.rglob("*")
        if path.is_file()
    }
    assert modes == {"etc/new/a": "0o600", "b": "0o644", "c": "0o750", "d": "0o444"}
    assert (newroot / "c").read_bytes() == b"\x00\xff"


def test_the_plan_names_every_script_and_file(tmp_path: Path) -> None:
    item = {"name": "x", "runOn": ["all"], "content": "true"}
    given = context(
        tmp_path,
        scripts={"preServicing": [item], "postProvision": [item], "postConfigure": [item]},
        os={"additionalFiles": [{"destination": "/etc/motd", "content": ""}]},
    )
    steps = Hooks().stage(given)
    assert [step.name for step in steps] == [
        "hooks/preServicing/x",
        "hooks/postProvision/x",
        "hooks/files",
        "hooks/postConfigure/x",
    ]
    assert [step.phase for step in steps] == sorted(step.phase for step in steps)
    assert steps[2].effects[0].target == "/etc/motd"


@pytest.mark.parametrize(
    ("asked", "source", "mode"),
    [("0600", 0o777, 0o600), (None, 0o100755, 0o755), (None, None, 0o644)],
)
def test_file_mode(asked: str | None, source: int | None, mode: int) -> None:
    assert hooks.file_mode(asked, source) == mode
