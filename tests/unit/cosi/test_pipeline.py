from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from agent.cosi.pipeline import Channel, Gate, Pool, Stopped, run


def nothing() -> None:
    return None


def test_items_pass_in_order_and_none_is_lost() -> None:
    gate = Gate()
    pool = Pool(gate, [[0], [0]])
    channel: Channel[list[int]] = Channel(gate)
    seen: list[int] = []

    def produce() -> None:
        for number in range(1000):
            item = pool.take()
            item[0] = number
            channel.put(item)
        channel.close()

    def consume() -> None:
        while (item := channel.get()) is not None:
            seen.append(item[0])
            pool.give(item)

    run(gate, (produce, consume), interrupt=nothing, tick=nothing)
    assert seen == list(range(1000))


def test_the_first_failure_ends_those_that_wait() -> None:
    gate = Gate()
    empty: Pool[int] = Pool(gate, [])
    quiet: Channel[int] = Channel(gate)
    stopped: list[str] = []

    def waits(name: str, wait: Callable[[], object]) -> Callable[[], None]:
        def stage() -> None:
            try:
                wait()
            except Stopped:
                stopped.append(name)
                raise

        return stage

    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(
            gate,
            (waits("pool", empty.take), waits("channel", quiet.get), fails),
            interrupt=nothing,
            tick=nothing,
        )
    assert sorted(stopped) == ["channel", "pool"]
    assert threading.active_count() == 1


def test_a_stage_that_waits_elsewhere_is_interrupted() -> None:
    gate = Gate()
    elsewhere = threading.Event()

    def waits() -> None:
        elsewhere.wait(60)

    def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(gate, (waits, fails), interrupt=elsewhere.set, tick=nothing)
    assert threading.active_count() == 1


def test_a_failing_tick_ends_all_stages() -> None:
    gate = Gate()
    quiet: Channel[int] = Channel(gate)

    def waits() -> None:
        quiet.get()

    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(gate, (waits,), interrupt=nothing, tick=tick)
    assert threading.active_count() == 1
