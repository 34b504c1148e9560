from __future__ import annotations

import json

import pytest

from agent.api import status as host_status
from agent.api.errors import Kind, TridentError
from agent.api.events import Event, OperationFailed
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus
from agent.reporting.redaction import HIDDEN
from agent.reporting.reports import reporting
from agent.servicing.operation import public_status, recorded

SECRETS = HostConfiguration.model_validate_json(
    json.dumps(
        {
            "os": {
                "users": [
                    {
                        "name": "a",
                        "password": {"type": "dangerous-plain-text", "value": "plain-secret"},
                    },
                    {
                        "name": "b",
                        "password": {"type": "dangerous-hashed", "value": "$6$hash-secret"},
                    },
                    {"name": "c"},
                ]
            },
            "managementOs": {
                "users": [
                    {
                        "name": "m",
                        "password": {"type": "dangerous-plain-text", "value": "other-secret"},
                    }
                ]
            },
        }
    )
)


def test_a_status_that_leaves_the_host_holds_no_passwords_and_still_parses() -> None:
    text = public_status(HostStatus(spec=SECRETS, spec_old=SECRETS))
    assert "secret" not in text
    assert text.count(HIDDEN) == 6
    assert [user.name for user in host_status.parse(text).spec.os.users] == ["a", "b", "c"]


def test_a_failure_is_recorded_then_reported_and_passes_on() -> None:
    seen: list[Event] = []
    stored: list[TridentError] = []

    def record(error: TridentError) -> HostStatus:
        stored.append(error)
        return HostStatus()

    error = TridentError(Kind.SERVICING, "create-partitions", "no")
    with (
        pytest.raises(TridentError) as caught,
        reporting("install", None, [seen.append]) as reports,
        recorded(reports, record),
    ):
        raise error
    assert caught.value is error
    assert stored == [error]
    assert isinstance(seen[-1], OperationFailed)
    assert seen[-1].code == "create-partitions"


def test_a_defect_becomes_an_internal_error_with_its_cause() -> None:
    seen: list[Event] = []
    with (
        pytest.raises(TridentError) as caught,
        reporting("install", None, [seen.append]) as reports,
        recorded(reports, lambda error: None),
    ):
        raise KeyError("x")
    assert caught.value.identifier == "internal/internal"
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(seen[-1], OperationFailed)


def test_a_failure_that_cannot_be_recorded_is_reported_all_the_same() -> None:
    seen: list[Event] = []

    def broken_store(error: TridentError) -> HostStatus:
        raise TridentError(Kind.SERVICING, "write-to-datastore", "disk full")

    with (
        pytest.raises(TridentError) as caught,
        reporting("install", None, [seen.append]) as reports,
        recorded(reports, broken_store),
    ):
        raise TridentError(Kind.SERVICING, "create-partitions", "no")
    assert caught.value.code == "create-partitions"
    assert "disk full" in caught.value.one_line()
    assert isinstance(seen[-1], OperationFailed)
