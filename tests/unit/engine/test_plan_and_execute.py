from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.api.errors import Kind, TridentError
from agent.api.events import Event, StepDone, StepFailed, StepProgress, StepStarted
from agent.api.hostconfig import HostConfiguration
from agent.api.status import ServicingType
from agent.engine import plan
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.reporting.recorder import Recorder

CONTEXT = Context(HostConfiguration(), ServicingType.CLEAN_INSTALL)


def nothing(_: Context) -> None:
    """A step that does nothing."""


def step(
    name: str, phase: Phase, *effects: Effect, run: Callable[[Context], None] = nothing
) -> Step:
    return Step(name, phase, f"doing {name}", run, effects)


class Listed:
    """A subsystem with given steps."""

    def __init__(self, name: str, stage: Sequence[Step], finalize: Sequence[Step] = ()) -> None:
        self.name = name
        self._stage = stage
        self._finalize = finalize

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing to check."""

    def stage(self, _: Context) -> Sequence[Step]:
        return self._stage

    def finalize(self, _: Context) -> Sequence[Step]:
        return self._finalize


STORAGE = Listed(
    "storage",
    [
        step(
            "storage/partitions",
            Phase.CREATE,
            Effect(Verb.DESTROY, "/dev/sda", "everything", 3 << 30),
        ),
        step("storage/image", Phase.CREATE, Effect(Verb.FETCH, "http://x/a.cosi", size_bytes=1536)),
        step("storage/fstab", Phase.CONFIGURE, Effect(Verb.WRITE, "/etc/fstab")),
    ],
)
HOOKS = Listed(
    "hooks",
    [step("hooks/load", Phase.PREPARE), step("hooks/files", Phase.CONFIGURE)],
    [step("hooks/last", Phase.FINALIZE)],
)


def built(*, stage: bool = True, finalize: bool = True) -> plan.Plan:
    return plan.build("install", [STORAGE, HOOKS], CONTEXT, stage=stage, finalize=finalize)


def test_steps_are_ordered_by_phase_then_by_subsystem() -> None:
    assert [item.name for item in built().steps] == [
        "hooks/load",
        "storage/partitions",
        "storage/image",
        "storage/fstab",
        "hooks/files",
        "hooks/last",
    ]


def test_stage_and_finalize_can_be_planned_apart() -> None:
    assert [item.name for item in built(stage=False).steps] == ["hooks/last"]
    assert "hooks/last" not in [item.name for item in built(finalize=False).steps]


def test_the_point_of_no_return_is_the_first_step_that_destroys() -> None:
    point = built().point_of_no_return
    assert point is not None
    assert point.name == "storage/partitions"
    assert built(stage=False).point_of_no_return is None


def test_the_text_names_what_is_fetched_and_destroyed_after_the_point() -> None:
    lines = built().to_text().splitlines()
    point = lines.index("---- point of no return: what follows destroys data ----")
    assert lines[1] == "  1. [prepare] doing hooks/load"
    assert lines[point - 1] == lines[1]
    assert "destroy /dev/sda (3.0 GiB): everything" in lines[point + 2]
    assert "fetch   http://x/a.cosi (1.5 KiB)" in "\n".join(lines)
    assert built(stage=False).to_text().endswith("no step destroys data")


def test_the_json_says_the_same() -> None:
    document = json.loads(json.dumps(built().to_json()))
    assert document["pointOfNoReturn"] == "storage/partitions"
    assert document["steps"][1]["effects"] == [
        {
            "verb": "destroy",
            "target": "/dev/sda",
            "detail": "everything",
            "sizeBytes": 3 << 30,
        }
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 40, "1.0 TiB"), (5 << 20, "5.0 MiB")],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert plan.size_text(size) == text


def test_each_step_runs_between_its_events() -> None:
    seen: list[Event] = []
    order: list[str] = []

    def watch(event: Event) -> None:
        seen.append(event)
        order.append(event.type)

    steps = [
        step("a", Phase.PREPARE, run=lambda _: order.append("a runs")),
        step("b", Phase.CREATE, run=lambda _: order.append("b runs")),
    ]
    execute(steps, CONTEXT, Recorder("install", [watch]))
    assert order == [
        "step-started",
        "a runs",
        "step-done",
        "step-started",
        "b runs",
        "step-done",
    ]
    assert [event.step for event in seen if isinstance(event, StepStarted | StepDone)] == [
        "a",
        "a",
        "b",
        "b",
    ]


def test_the_first_failure_ends_it_with_the_step_in_its_context() -> None:
    seen: list[Event] = []

    def fail(_: Context) -> None:
        raise TridentError(Kind.SERVICING, "command-failed", "mkfs exited with 1")

    with pytest.raises(TridentError) as caught:
        execute(
            [step("a", Phase.CREATE, run=fail), step("b", Phase.CREATE)],
            CONTEXT,
            Recorder("install", [seen.append]),
        )
    assert caught.value.context == ["doing a"]
    assert [event.type for event in seen] == ["step-started", "step-failed"]
    assert isinstance(seen[1], StepFailed)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "full"), (errno.EROFS, "fsck"), (errno.EIO, "device"), (errno.EPERM, "dmesg")],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(number: int, hint: str) -> None:
    def fail(_: Context) -> None:
        raise OSError(number, os.strerror(number), "/mnt/newroot/etc/fstab")

    with pytest.raises(TridentError) as caught:
        execute([step("a", Phase.CONFIGURE, run=fail)], CONTEXT, Recorder("install", []))
    assert caught.value.identifier == "servicing/file-access"
    assert caught.value.message == f"/mnt/newroot/etc/fstab: {os.strerror(number)}"
    assert hint in (caught.value.hint or "")
    assert isinstance(caught.value.__cause__, OSError)


def test_an_interrupted_step_is_reported_as_failed() -> None:
    seen: list[Event] = []

    def interrupted(_: Context) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(
            [step("a", Phase.CREATE, run=interrupted)], CONTEXT, Recorder("install", [seen.append])
        )
    assert isinstance(seen[-1], StepFailed)


def test_progress_is_thinned_out_but_its_end_always_arrives() -> None:
    seen: list[Event] = []

    def stream(context: Context) -> None:
        for done in range(10_001):
            context.progress(done, 10_000)

    execute([step("a", Phase.CREATE, run=stream)], CONTEXT, Recorder("install", [seen.append]))
    progress = [event for event in seen if isinstance(event, StepProgress)]
    assert 2 <= len(progress) < 50
    assert (progress[-1].done_bytes, progress[-1].total_bytes) == (10_000, 10_000)


def test_facts_learned_by_one_step_are_seen_by_the_next() -> None:
    context = Context(HostConfiguration(), ServicingType.CLEAN_INSTALL)

    def learn(given: Context) -> None:
        given.facts.partition_paths["root"] = Path("/dev/disk/by-partuuid/1")

    found: list[Path] = []
    steps = [
        step("a", Phase.CREATE, run=learn),
        step("b", Phase.CREATE, run=lambda given: found.append(given.device_path("root"))),
    ]
    execute(steps, context, Recorder("install", []))
    assert found == [Path("/dev/disk/by-partuuid/1")]
