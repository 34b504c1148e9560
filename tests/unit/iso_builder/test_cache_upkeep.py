"""The build cache over days: what is made anew, what is removed, what is in use stays."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from agent.api.errors import Kind, TridentError
from agent.linux.run import spawn
from iso_builder import cache, entries
from iso_builder.cli import main, parser

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
MIB = 1 << 20
NETWORK_DOWN = TridentError(Kind.EXECUTION_ENVIRONMENT, "mirror", "the mirror is away", hint="wait")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trident-appliance"


def keep(own_cache: Path, name: str, *, days: float = 0, mib: int = 0) -> Path:
    """An entry of an earlier process, made and last used `days` ago."""
    path = own_cache / name
    path.mkdir(parents=True)
    (path / "data").write_bytes(os.urandom(mib * MIB))
    entries.lock_path(path).touch()
    then = time.time() - days * DAY_S
    for one in (path, entries.lock_path(path)):
        os.utime(one, (then, then))
    return path


@contextmanager
def used_elsewhere(path: Path) -> Iterator[None]:
    """Another process that has obtained the entry and lives on."""
    script = (
        "import pathlib, sys, threading; from iso_builder import cache\n"
        "cache.obtain(sys.argv[1], sys.argv[2], lambda made: sys.exit('it was not there'))\n"
        "pathlib.Path(sys.argv[3]).touch(); threading.Event().wait()"
    )
    home = path.parent.parent.parent
    ready = home / "ready"
    argv = [sys.executable, "-c", script, path.parent.name, path.name, str(ready)]
    environment = {"XDG_CACHE_HOME": str(home)}
    with spawn(argv, log=ready.with_name("other.log"), env=environment) as other:
        end = time.monotonic() + 30
        while not ready.exists():
            assert other.poll() is None, ready.with_name("other.log").read_text()
            assert time.monotonic() < end
            other.wait(0.02)
        yield
    ready.unlink()


def write(text: str) -> cache.Build:
    def build(made: Path) -> None:
        (made / "data").write_text(text)

    return build


def fail(_made: Path) -> None:
    raise NETWORK_DOWN


def text_of(path: Path) -> str:
    return (path / "data").read_text()


def age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / DAY_S


def test_an_entry_is_made_anew_under_its_name_when_it_is_too_old(own_cache: Path) -> None:
    old = keep(own_cache, "trees/a", days=8)
    found = cache.obtain("trees", "a", write("new"), fresh_s=WEEK_S)
    assert found == old
    assert text_of(found) == "new"
    assert age_days(found) < 1
    assert [path.name for path in (own_cache / "trees").iterdir() if path.is_dir()] == ["a"]


@pytest.mark.parametrize(("days", "fresh_s"), [(6, WEEK_S), (10, None)])
def test_an_entry_that_is_fresh_or_never_ages_stays(
    own_cache: Path, days: float, fresh_s: float | None
) -> None:
    keep(own_cache, "wheels/a", days=days)
    found = cache.obtain("wheels", "a", fail, fresh_s=fresh_s)
    assert days - 1 < age_days(found) < days + 1


def test_what_cannot_be_made_anew_is_used_as_it_is_with_a_warning(
    own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(own_cache, "trees/a", days=9)
    found = cache.obtain("trees", "a", fail, fresh_s=WEEK_S)
    assert 8 < age_days(found) < 10
    assert "trees/a is 9 days old and cannot be made anew now: " in caplog.text
    assert "the mirror is away" in caplog.text


def test_an_entry_is_as_old_as_the_oldest_part_of_it(own_cache: Path) -> None:
    keep(own_cache, "trees/a", days=2)
    keep(own_cache, "trees/b", days=5)
    keep(own_cache, "wheels/c", days=12)

    def build(made: Path) -> None:
        for name in ("a", "b"):
            cache.obtain("trees", name, fail, fresh_s=WEEK_S)
        cache.obtain("wheels", "c", fail)
        (made / "data").write_text("image")

    assert 4.9 < age_days(cache.obtain("os-image", "i", build, fresh_s=WEEK_S)) < 5.1


def test_an_old_image_is_made_anew_of_new_parts(own_cache: Path) -> None:
    keep(own_cache, "trees/a", days=8)
    keep(own_cache, "os-image/i", days=8)

    def build(made: Path) -> None:
        tree = cache.obtain("trees", "a", write("new tree"), fresh_s=WEEK_S)
        (made / "data").write_text(f"image of {text_of(tree)}")

    found = cache.obtain("os-image", "i", build, fresh_s=WEEK_S)
    assert text_of(found) == "image of new tree"
    assert age_days(found) < 1


def test_an_old_image_stays_when_its_parts_cannot_be_made_anew(
    own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Building the same again of the same old parts would only cost minutes."""
    keep(own_cache, "trees/a", days=8)
    keep(own_cache, "os-image/i", days=8)

    def build(_made: Path) -> None:
        cache.obtain("trees", "a", fail, fresh_s=WEEK_S)
        pytest.fail("built of old parts")

    assert 7 < age_days(cache.obtain("os-image", "i", build, fresh_s=WEEK_S)) < 9
    assert len(caplog.records) == 1


def test_a_missing_image_is_made_of_old_parts_when_there_are_no_others(own_cache: Path) -> None:
    keep(own_cache, "trees/a", days=8)

    def build(made: Path) -> None:
        cache.obtain("trees", "a", fail, fresh_s=WEEK_S)
        (made / "data").write_text("image")

    found = cache.obtain("os-image", "i", build, fresh_s=WEEK_S)
    assert text_of(found) == "image"
    assert 7 < age_days(found) < 9, "so that it is tried again"


def test_an_entry_never_changes_within_a_process(own_cache: Path) -> None:
    found = cache.obtain("trees", "a", write("first"), fresh_s=WEEK_S)
    os.utime(found, (0, 0))
    assert text_of(cache.obtain("trees", "a", write("second"), fresh_s=WEEK_S)) == "first"


def test_a_stale_entry_that_another_process_uses_is_not_replaced(own_cache: Path) -> None:
    path = keep(own_cache, "trees/a", days=8)
    with used_elsewhere(path):
        found = cache.obtain("trees", "a", write("new"), fresh_s=WEEK_S)
    assert 7 < age_days(found) < 9


def test_what_nobody_used_for_two_weeks_goes_when_the_cache_is_next_used(own_cache: Path) -> None:
    old = keep(own_cache, "live/old", days=15)
    young = keep(own_cache, "live/young", days=13)
    cache.obtain("trees", "a", write("x"))
    assert not old.exists()
    assert not entries.lock_path(old).exists()
    assert young.exists()


def test_use_makes_an_entry_young(own_cache: Path) -> None:
    path = keep(own_cache, "wheels/a", days=13)
    cache.obtain("wheels", "a", fail)
    (entry,) = entries.found(own_cache)
    assert time.time() - entry.used < 60
    assert 12 < age_days(path) < 14, "what is in it is as old as before"


def test_pruning_by_age_spares_what_another_process_uses(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used, idle = keep(own_cache, "live/used", days=3), keep(own_cache, "live/idle", days=3)
    with used_elsewhere(used):
        assert main(["cache", "prune", "--older-than", "0"]) == 0
        assert used.exists()
        assert not idle.exists()
    said = capsys.readouterr().out
    assert "removed live/idle" in said
    assert "kept live/used: in use" in said
    assert main(["cache", "prune", "--older-than", "0"]) == 0
    assert not used.exists(), "that process has ended"


def test_what_this_process_obtained_is_never_pruned(own_cache: Path) -> None:
    found = cache.obtain("trees", "a", write("x"))
    assert main(["cache", "prune", "--older-than", "0", "--keep-gib", "0"]) == 0
    assert text_of(found) == "x"


def test_pruning_to_a_size_takes_the_longest_unused_first(own_cache: Path) -> None:
    oldest = keep(own_cache, "live/a", days=3, mib=2)
    middle = keep(own_cache, "os-image/b", days=2, mib=2)
    newest = keep(own_cache, "live/c", days=1, mib=2)
    assert main(["cache", "prune", "--keep-gib", "0.0045"]) == 0
    assert [path.exists() for path in (oldest, middle, newest)] == [False, True, True]


def test_pruning_to_a_size_goes_on_behind_what_is_in_use(own_cache: Path) -> None:
    oldest = keep(own_cache, "live/a", days=3, mib=2)
    middle = keep(own_cache, "live/b", days=2, mib=2)
    newest = keep(own_cache, "live/c", days=1, mib=2)
    with used_elsewhere(oldest):
        # Its use has made it the youngest; it is still the one that must stay.
        os.utime(entries.lock_path(oldest), (0, 0))
        assert main(["cache", "prune", "--keep-gib", "0.0045"]) == 0
    assert [path.exists() for path in (oldest, middle, newest)] == [True, False, True]


def test_pruning_without_a_rule_takes_two_weeks(own_cache: Path) -> None:
    old, young = keep(own_cache, "live/a", days=15), keep(own_cache, "live/b", days=13)
    assert main(["cache", "prune"]) == 0
    assert (old.exists(), young.exists()) == (False, True)


def test_single_files_are_entries_too_and_other_files_are_not(own_cache: Path) -> None:
    keep(own_cache, "trees/a", days=0)
    cosi = own_cache / "cosi" / "b.cosi"
    cosi.parent.mkdir()
    cosi.write_bytes(b"x")
    (own_cache / "vm.lock").touch()
    for path in (cosi, own_cache / "vm.lock"):
        os.utime(path, (0, 0))
    assert main(["cache", "prune"]) == 0
    assert not cosi.exists()
    assert (own_cache / "vm.lock").exists()
    assert (own_cache / "trees/a").exists()


def test_what_killed_builds_left_goes_after_a_day_and_running_ones_stay(own_cache: Path) -> None:
    (own_cache / "live").mkdir(parents=True)
    killed, recent = own_cache / "live/.build-killed", own_cache / ".build-recent"
    for path in (killed, recent):
        path.mkdir()
        (path / "half").write_text("x")
    os.utime(killed, (0, 0))
    with cache.scratch() as running:
        os.utime(running, (0, 0))
        assert main(["cache", "prune"]) == 0
        assert running.exists()
    assert not killed.exists()
    assert recent.exists()


def test_the_list_shows_sizes_times_and_use(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = keep(own_cache, "live/used", days=1, mib=2)
    keep(own_cache, "live/idle", days=2, mib=1)
    with used_elsewhere(used):
        assert main(["cache", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["live/idle", "1"]
    assert lines[2].split()[:2] == ["live/used", "2"]
    assert lines[2].endswith("in use")
    assert "2 entries" in lines[-1]


def test_an_empty_cache_can_be_listed_and_pruned(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "list"]) == 0
    assert main(["cache", "prune"]) == 0
    assert "0 entries" in capsys.readouterr().out
    assert not own_cache.exists()


@pytest.mark.parametrize("value", ["-1", "x", "nan", "inf"])
def test_amounts_that_are_none_are_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cache", "prune", f"--keep-gib={value}"])
    assert "is not a number of 0 or more" in capsys.readouterr().err


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_entries_of_somebody_else_are_used_and_cannot_be_pruned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        os.chmod(home, 0o755)
        path = keep(cache.root(), "wheels/a", days=20)
        path.parent.chmod(0o555)
        with as_nobody():
            assert main(["cache", "prune"]) == 1
            assert cache.obtain("wheels", "a", fail) == path
        path.parent.chmod(0o755)
    said = capsys.readouterr().err
    assert "cache-not-writable" in said
    assert "Permission denied" in said


def test_builders_of_one_entry_at_once_build_it_once(own_cache: Path) -> None:
    script = (
        "import os, pathlib, threading; from iso_builder import cache\n"
        "def build(made):\n"
        "    print('built'); threading.Event().wait(1)\n"
        "    pathlib.Path(made, 'data').write_text(str(os.getpid()))\n"
        "print(cache.obtain('trees', 'a', build).joinpath('data').read_text())\n"
    )
    logs = [own_cache.with_name(f"log{number}") for number in range(4)]
    own_cache.parent.mkdir(parents=True)
    environment = {"XDG_CACHE_HOME": str(own_cache.parent)}
    argv = [sys.executable, "-c", script]
    with ExitStack() as stack:
        running = [stack.enter_context(spawn(argv, log=log, env=environment)) for log in logs]
        assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    said = "".join(log.read_text() for log in logs).split()
    assert said.count("built") == 1
    assert len(set(said) - {"built"}) == 1


HOW_TO = (Path(__file__).parents[3] / "docs" / "how-to" / "build-cache.md").read_text()


def test_the_commands_of_the_how_to_are_understood() -> None:
    lines = [line for line in HOW_TO.splitlines() if line.startswith("trident-iso ")]
    assert len(lines) == 4
    for line in lines:
        parser().parse_args(line.split()[1:])
