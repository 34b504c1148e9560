"""The rollback chain, from rows as servicing writes them."""

from __future__ import annotations

import pytest
import yaml

from agent.api import status as host_status
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType
from agent.datastore import Row
from agent.engine.context import Context
from agent.servicing import chain, rollback, runtime, statuses, verdicts
from agent.servicing.chain import Target, TargetKind

S = ServicingState


def named(name: str) -> HostConfiguration:
    return HostConfiguration.model_validate({"os": {"hostname": name}})


def installed() -> list[HostStatus]:
    finalized = HostStatus(spec=named("v1"), servicing_state=S.CLEAN_INSTALL_FINALIZED)
    return [finalized, statuses.flipped(finalized, AbVolume.A)]


def updating(rows: list[HostStatus], name: str) -> list[HostStatus]:
    """`rows` and those of an update up to its reboot."""
    active = rows[-1].ab_active_volume
    assert active is not None
    staging = statuses.staging(rows[-1], active.other, HostConfiguration())
    staged = statuses.serviced(staging, named(name), S.AB_UPDATE_STAGED)
    finalized = statuses.serviced(staged, named(name), S.AB_UPDATE_FINALIZED)
    return [*rows, staging, staged, finalized]


def committed(rows: list[HostStatus]) -> list[HostStatus]:
    active = rows[-1].ab_active_volume
    assert active is not None
    return [*rows, statuses.flipped(rows[-1], active.other)]


def going_back(rows: list[HostStatus]) -> list[HostStatus]:
    target = rollback.choose(of(rows), TargetKind.AB)
    staged = statuses.serviced(rows[-1], target.spec, S.MANUAL_ROLLBACK_AB_STAGED)
    finalized = statuses.serviced(staged, target.spec, S.MANUAL_ROLLBACK_AB_FINALIZED)
    return [*rows, staged, finalized]


def changing(rows: list[HostStatus], name: str) -> list[HostStatus]:
    """`rows` and those of a runtime update that came to count."""
    context = runtime.context(rows[-1], named(name), ServicingType.RUNTIME_UPDATE)
    return applied(rows, context, S.RUNTIME_UPDATE_STAGED)


def applied(rows: list[HostStatus], context: Context, state: ServicingState) -> list[HostStatus]:
    staged = statuses.staged_in_place(rows[-1], context, state)
    begun = statuses.applying(staged, begun=True)
    return [*rows, staged, begun, statuses.applied(begun)]


def going_back_in_place(rows: list[HostStatus]) -> list[HostStatus]:
    target = of(rows)[0].spec
    context = runtime.context(rows[-1], target, ServicingType.MANUAL_ROLLBACK_RUNTIME)
    return applied(rows, context, S.MANUAL_ROLLBACK_RUNTIME_STAGED)


def kinds(rows: list[HostStatus]) -> list[tuple[str, str | None]]:
    """Kind and host name of each target, most recent first."""
    return [(str(target.kind), target.spec.os.hostname) for target in of(rows)]


def of(rows: list[HostStatus]) -> tuple[Target, ...]:
    return chain.chain(rows[::-1])


def test_a_new_installation_has_nothing_to_go_back_to() -> None:
    assert of(installed()) == ()
    assert of([]) == ()


def test_an_update_can_be_gone_back_on_once_it_is_committed() -> None:
    updated = updating(installed(), "v2")
    assert of(updated) == ()
    assert of(committed(updated)) == (Target(named("v1"), AbVolume.A, 0),)


def test_only_the_last_system_is_still_there() -> None:
    rows = committed(updating(committed(updating(installed(), "v2")), "v3"))
    assert of(rows) == (Target(named("v2"), AbVolume.B, 0),)


def test_a_begun_update_loses_what_the_other_side_held() -> None:
    """F66: Power was cut while v3 was written over v1."""
    rows = committed(updating(installed(), "v2"))
    assert of(rows)
    assert of([*rows, statuses.staging(rows[-1], AbVolume.A, HostConfiguration())]) == ()


def test_an_update_that_did_not_come_up_has_lost_it_too() -> None:
    rows = updating(committed(updating(installed(), "v2")), "v3")
    returned = verdicts.returned(rows[-1])
    assert returned.spec == named("v2")
    assert of([*rows, returned]) == ()
    unhealthy = verdicts.unhealthy(rows[-1])
    assert of([*rows, unhealthy, statuses.recorded(unhealthy)]) == ()


def test_going_back_is_not_gone_back_on() -> None:
    rows = going_back(committed(updating(installed(), "v2")))
    assert of(committed(rows)) == ()


def test_a_rollback_that_was_not_booted_can_be_tried_again() -> None:
    rows = going_back(committed(updating(installed(), "v2")))
    rows = [*rows, verdicts.returned(rows[-1])]
    assert of(rows) == (Target(named("v1"), AbVolume.A, 0),)


def test_after_a_rollback_the_next_update_can_be_gone_back_on() -> None:
    rows = committed(going_back(committed(updating(installed(), "v2"))))
    rows = committed(updating(rows, "v3"))
    assert of(rows) == (Target(named("v1"), AbVolume.A, 0),)


def test_runtime_updates_are_gone_back_on_one_by_one() -> None:
    rows = changing(changing(installed(), "v2"), "v3")
    assert kinds(rows) == [("runtime", "v2"), ("runtime", "v1")]
    rows = going_back_in_place(rows)
    assert rows[-1].spec == named("v2")
    assert kinds(rows) == [("runtime", "v1")]
    assert kinds(going_back_in_place(rows)) == []


def test_a_runtime_update_after_a_rollback_can_be_gone_back_on() -> None:
    rows = changing(going_back_in_place(changing(installed(), "v2")), "v3")
    assert kinds(rows) == [("runtime", "v1")]


def test_a_runtime_update_that_was_taken_back_is_not_on_the_chain() -> None:
    rows = changing(installed(), "v2")[:-1]
    assert kinds([*rows, statuses.recorded(rows[-1])]) == []


def test_a_rollback_that_was_taken_back_can_be_tried_again() -> None:
    rows = going_back_in_place(changing(installed(), "v2"))[:-1]
    assert kinds([*rows, statuses.recorded(rows[-1])]) == [("runtime", "v1")]


def test_changes_on_both_sides_make_one_chain() -> None:
    rows = changing(installed(), "v1+")
    rows = changing(committed(updating(rows, "v2")), "v2+")
    assert kinds(rows) == [("runtime", "v2"), ("ab", "v1+"), ("runtime", "v1")]
    assert [target.ab_active_volume for target in of(rows)] == [
        AbVolume.B,
        AbVolume.A,
        AbVolume.A,
    ]


def test_booting_the_other_side_takes_newer_changes_along() -> None:
    rows = changing(committed(updating(changing(installed(), "v1+"), "v2")), "v2+")
    assert kinds(committed(going_back(rows))) == [("runtime", "v1")]


def test_writing_the_other_side_loses_it_and_all_before_it() -> None:
    rows = changing(committed(updating(changing(installed(), "v1+"), "v2")), "v2+")
    rows = [*rows, statuses.staging(rows[-1], AbVolume.A, HostConfiguration())]
    assert kinds(rows) == [("runtime", "v2")]
    rows = committed(updating(rows, "v3"))
    assert kinds(rows) == [("ab", "v2+"), ("runtime", "v2")]


def test_a_host_without_sides_goes_back_in_place() -> None:
    single = HostStatus(spec=named("v1"), servicing_state=S.PROVISIONED)
    (target,) = of(changing([single], "v2"))
    assert target.kind is TargetKind.RUNTIME
    assert target.to_plain()["abActiveVolume"] is None


def test_the_kind_that_is_asked_for_is_chosen_or_refused() -> None:
    rows = changing(committed(updating(installed(), "v2")), "v3")
    targets = of(rows)
    assert rollback.choose(targets, None).spec == named("v2")
    assert rollback.choose(targets, TargetKind.RUNTIME).spec == named("v2")
    assert rollback.choose(targets, TargetKind.AB).spec == named("v1")
    assert rollback.check(targets[:1], TargetKind.AB) is None
    assert rollback.check((), TargetKind.RUNTIME) is None
    for kind, given, code in (
        (TargetKind.RUNTIME, targets[1:], "invalid-rollback-expectation"),
        (TargetKind.AB, targets[:1], "manual-rollback"),
        (None, (), "manual-rollback"),
    ):
        with pytest.raises(TridentError) as caught:
            rollback.choose(given, kind)
        assert caught.value.code == code


def test_a_row_that_cannot_be_read_ends_the_chain() -> None:
    texts = [host_status.dump(row) for row in committed(updating(installed(), "v2"))]
    readable = [Row(number, None, text) for number, text in enumerate(texts, 1)]
    assert len(chain.chain(chain.parse(readable))) == 1
    spoilt = [*readable[:-2], Row(98, None, "servicingState: [no]"), *readable[-2:]]
    assert chain.chain(chain.parse(spoilt)) == ()


def test_the_chain_is_a_yaml_list_of_upstreams_form() -> None:
    targets = of(committed(updating(installed(), "v2")))
    assert yaml.safe_load(chain.to_text(targets)) == [
        {
            "kind": "ab",
            "spec": {"os": {"hostname": "v1"}},
            "abActiveVolume": "volume-a",
            "installIndex": 0,
        }
    ]
    assert chain.to_text(()) == "[]\n"
