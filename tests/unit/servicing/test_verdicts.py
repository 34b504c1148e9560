"""The state table of commit: from the recorded state and the side that came up."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from agent.api import status as host_status
from agent.api.extensions import ExtensionKind
from agent.api.hostconfig import HostConfiguration
from agent.api.load import load
from agent.api.status import AbVolume, HostStatus, ServicingState, ServicingType
from agent.engine.context import Context, Facts
from agent.servicing import statuses, verdicts
from agent.servicing.booted import Booted
from agent.servicing.verdicts import Verdict

S = ServicingState
OLD = HostConfiguration.model_validate({"os": {"hostname": "old"}})
NEW = HostConfiguration.model_validate({"os": {"hostname": "new"}})
RUNNING = HostStatus(
    spec=OLD, servicing_state=S.PROVISIONED, ab_active_volume=AbVolume.A, install_index=1
)


@pytest.mark.parametrize(
    ("state", "on_target", "on_active", "elsewhere"),
    [
        (S.NOT_PROVISIONED, Verdict.NOTHING, Verdict.NOTHING, Verdict.NOTHING),
        (S.CLEAN_INSTALL_STAGED, Verdict.NOTHING, Verdict.NOTHING, Verdict.NOTHING),
        (S.CLEAN_INSTALL_FINALIZED, Verdict.COMMIT, Verdict.RETURNED, Verdict.RETURNED),
        (S.AB_UPDATE_STAGED, Verdict.COMMIT, Verdict.NOTHING, Verdict.NOTHING),
        (S.AB_UPDATE_FINALIZED, Verdict.COMMIT, Verdict.RETURNED, Verdict.RETURNED),
        (
            S.AB_UPDATE_HEALTH_CHECK_FAILED,
            Verdict.STILL_UNHEALTHY,
            Verdict.RETURNED_UNHEALTHY,
            Verdict.RETURNED_UNHEALTHY,
        ),
        (S.MANUAL_ROLLBACK_AB_STAGED, Verdict.COMMIT, Verdict.NOTHING, Verdict.NOTHING),
        (S.MANUAL_ROLLBACK_AB_FINALIZED, Verdict.COMMIT, Verdict.RETURNED, Verdict.RETURNED),
        (S.PROVISIONED, Verdict.SETTLED, Verdict.NOTHING, Verdict.NOTHING),
        (S.RUNTIME_UPDATE_STAGED, Verdict.NOTHING, Verdict.NOTHING, Verdict.NOTHING),
        (S.MANUAL_ROLLBACK_RUNTIME_STAGED, Verdict.NOTHING, Verdict.NOTHING, Verdict.NOTHING),
    ],
)
def test_every_state_has_a_verdict_for_every_root(
    state: ServicingState, on_target: Verdict, on_active: Verdict, elsewhere: Verdict
) -> None:
    status = HostStatus(servicing_state=state)
    judged = [verdicts.judge(status, booted) for booted in Booted]
    assert judged == [on_target, on_active, elsewhere]


def test_an_update_is_recorded_from_stage_to_commit() -> None:
    staging = statuses.staging(RUNNING, AbVolume.B, NEW)
    assert staging.attempted_spec == NEW
    assert (staging.servicing_state, staging.spec) == (S.PROVISIONED, OLD)
    assert staging.overwritten_volume is AbVolume.B
    staged = statuses.serviced(staging, NEW, S.AB_UPDATE_STAGED)
    assert (staged.spec, staged.spec_old, staged.ab_active_volume) == (NEW, OLD, AbVolume.A)
    assert (staged.overwritten_volume, staged.attempted_spec) == (None, None)
    finalized = statuses.serviced(staged, NEW, S.AB_UPDATE_FINALIZED)
    assert (finalized.spec, finalized.spec_old) == (NEW, OLD)
    flipped = statuses.flipped(finalized, AbVolume.B)
    assert (flipped.spec, flipped.spec_old) == (NEW, HostConfiguration())
    assert (flipped.servicing_state, flipped.ab_active_volume) == (S.PROVISIONED, AbVolume.B)
    assert flipped.install_index == 1


def test_a_new_update_forgets_the_one_that_is_staged() -> None:
    staged = statuses.serviced(RUNNING, NEW, S.AB_UPDATE_STAGED)
    again = statuses.staging(staged, AbVolume.B, HostConfiguration())
    assert (again.spec, again.spec_old) == (OLD, HostConfiguration())
    assert again.servicing_state is S.PROVISIONED


def test_a_system_that_did_not_come_up_leaves_the_old_one() -> None:
    finalized = statuses.serviced(RUNNING, NEW, S.AB_UPDATE_FINALIZED)
    returned = verdicts.returned(finalized)
    assert (returned.spec, returned.servicing_state) == (OLD, S.PROVISIONED)
    assert returned.ab_active_volume is AbVolume.A


def test_an_installation_that_did_not_come_up_is_forgotten() -> None:
    finalized = HostStatus(spec=NEW, servicing_state=S.CLEAN_INSTALL_FINALIZED)
    assert verdicts.returned(finalized) == HostStatus()
    assert verdicts.unhealthy(finalized).servicing_state is S.NOT_PROVISIONED


def test_an_unhealthy_update_waits_for_the_old_system() -> None:
    finalized = statuses.serviced(RUNNING, NEW, S.AB_UPDATE_FINALIZED)
    unhealthy = verdicts.unhealthy(finalized)
    assert unhealthy.servicing_state is S.AB_UPDATE_HEALTH_CHECK_FAILED
    assert unhealthy.spec_old == OLD


@pytest.mark.parametrize("state", [S.RUNTIME_UPDATE_STAGED, S.MANUAL_ROLLBACK_RUNTIME_STAGED])
def test_a_change_that_was_begun_is_taken_back_on_the_root_it_is_on(state: ServicingState) -> None:
    status = HostStatus(servicing_state=state, applying=True)
    judged = [verdicts.judge(status, booted) for booted in Booted]
    assert judged == [Verdict.HALF_APPLIED, Verdict.NOTHING, Verdict.NOTHING]


def test_a_runtime_update_is_recorded_from_stage_to_end() -> None:
    facts = Facts(extension_paths={(ExtensionKind.SYSEXT, "a" * 96): PurePosixPath("/x/t.raw")})
    new = load(f"os: {{sysexts: [{{url: 'f:t', sha384: '{'a' * 96}'}}]}}")
    context = Context(new, ServicingType.RUNTIME_UPDATE, RUNNING, facts=facts)
    staged = statuses.staged_in_place(RUNNING, context, S.RUNTIME_UPDATE_STAGED)
    assert str(staged.spec.os.sysexts[0].path) == "/x/t.raw"
    assert staged.spec_old == OLD
    begun = statuses.applying(staged, begun=True)
    assert host_status.parse(host_status.dump(begun)) == begun
    assert statuses.recorded(begun).model_copy(update={"trident_version": None}) == RUNNING
    done = statuses.applied(begun)
    assert (done.spec, done.spec_old, done.applying) == (staged.spec, HostConfiguration(), False)
    assert (done.servicing_state, done.ab_active_volume) == (S.PROVISIONED, AbVolume.A)
