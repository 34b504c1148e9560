"""The small parts: rack names, placeholders, settings, damage, the suite's memory."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from lab import damage, network, paths, placeholders, scenario, server, suite
from lab.errors import LabError
from lab.qemu import Bus
from lab.scenario import Damage


def cosi(path: Path, root: bytes) -> Path:
    metadata = {"images": [{"mountPoint": "/", "image": {"path": "images/root.raw.zst"}}]}
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("metadata.json", json.dumps(metadata).encode()),
            ("images/esp.raw.zst", b"E" * 700),
            ("images/root.raw.zst", root),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_rack_is_stale_when_its_owner_is_gone_or_its_pid_was_given_away() -> None:
    mine = network.start_time(os.getpid())
    assert not network.is_stale(f"tlab-{os.getpid()}-{mine}-0")
    assert network.is_stale(f"tlab-{os.getpid()}-{(mine or 0) + 1}-0-dhcp")
    assert network.is_stale(f"tlab-{2**22 + 1}-1-0")
    assert not network.is_stale("somebody-elses")


def test_placeholders_are_filled_everywhere_and_unknown_ones_refused() -> None:
    value = {"image": {"url": "${image.url}"}, "list": ["a ${x}", 3]}
    filled = placeholders.fill(value, {"image.url": "http://h/i", "x": "b"})
    assert filled == {"image": {"url": "http://h/i"}, "list": ["a b", 3]}
    with pytest.raises(LabError, match="nothing"):
        placeholders.fill("${nothing}", {})


def test_shell_variables_are_not_placeholders() -> None:
    assert placeholders.fill("$TARGET_ROOT and $TERM", {}) == "$TARGET_ROOT and $TERM"


def test_in_commands_what_the_lab_does_not_know_is_the_shells() -> None:
    command = "x=${tools.url}; echo ${x#a} ${x}"
    filled = placeholders.fill_known(command, {"tools.url": "http://h/t"})
    assert filled == "x=http://h/t; echo ${x#a} ${x}"


def test_every_bus_has_a_stable_device_path() -> None:
    paths = {placeholders.device(bus, "SER") for bus in Bus}
    assert len(paths) == len(Bus)
    assert all("SER" in path for path in paths)


def test_settings_are_merged_key_by_key() -> None:
    base = {"dhcp": {"mode": "server", "port": 67}, "user": None}
    assert server.merged(base, {"dhcp": {"mode": "proxy"}}) == {
        "dhcp": {"mode": "proxy", "port": 67},
        "user": None,
    }


def test_one_bit_of_the_root_file_system_is_flipped_and_nothing_else(tmp_path: Path) -> None:
    whole = cosi(tmp_path / "whole.cosi", b"R" * 1000)
    copy = tmp_path / "served.cosi"
    damage.damaged_copy(whole, copy, Damage(flip_bit_at=0.6))
    before, after = whole.read_bytes(), copy.read_bytes()
    differing = [
        at for at, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1
    ]
    assert differing == [damage.root_region(whole).offset + 600]
    assert (before[differing[0]] ^ after[differing[0]]).bit_count() == 1


def test_a_truncated_copy_ends_early(tmp_path: Path) -> None:
    whole = cosi(tmp_path / "whole.cosi", b"R" * 1000)
    damage.damaged_copy(whole, tmp_path / "short.cosi", Damage(truncate_to=0.5))
    assert (tmp_path / "short.cosi").stat().st_size == whole.stat().st_size // 2


def row(**changes: object) -> suite.Row:
    values: dict[str, object] = {
        "scenario": "pxe-uefi",
        "result": "passed",
        "seconds": 61.2,
        "date": "2026-01-01 00:00",
        "fingerprint": "f",
        "commit": "abc",
        "infrastructure_failures": 0,
        "figures": "",
    }
    return suite.Row(**(values | changes))  # type: ignore[arg-type]


def test_only_what_passed_at_the_same_state_is_skipped(tmp_path: Path) -> None:
    assert suite.passed(row(), "f")
    assert not suite.passed(row(), "g")
    assert not suite.passed(row(result="failed"), "f")
    assert not suite.passed(None, "f")
    suite.save(tmp_path / "rows", {"pxe-uefi": row(reason="why")})
    assert suite.load(tmp_path / "rows") == {"pxe-uefi": row(reason="why")}
    assert suite.load(tmp_path / "none") == {}


def test_the_table_names_what_failed_and_why() -> None:
    text = suite.table([row(), row(scenario="install-uki", result="failed", reason="no entry")])
    assert "| pxe-uefi | passed | 61 | 0 |" in text
    assert "- install-uki: no entry" in text


def test_the_suite_begins_with_the_scenarios_whose_snapshots_others_start_from() -> None:
    folder = paths.checkout() / "tests/vm/scenarios"
    scenarios = {path.stem: scenario.load(path) for path in folder.glob("*.yaml")}
    order = list(suite.in_order(scenarios).values())
    needed = {disk.snapshot for one in order for machine in one.machines for disk in machine.disks}
    kept = [{step.snapshot.name for step in one.steps if step.snapshot} for one in order]
    assert needed - {None} == set().union(*kept)
    assert all(kept[: len(needed - {None})])
