"""The rollback chain, from rows as servicing writes them."""

from __future__ import annotations

import yaml

from agent.api import status as host_status
from agent.api.hostconfig import HostConfiguration
from agent.api.status import AbVolume, HostStatus, ServicingState
from agent.datastore import Row
from agent.servicing import chain, statuses, verdicts
from agent.servicing.chain import Target

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
    (target,) = chain.chain(rows[::-1])
    staged = statuses.serviced(rows[-1], target.spec, S.MANUAL_ROLLBACK_AB_STAGED)
    finalized = statuses.serviced(staged, target.spec, S.MANUAL_ROLLBACK_AB_FINALIZED)
    return [*rows, staged, finalized]


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
