"""What is odd about a document without making it invalid."""

from __future__ import annotations

import pytest

from tests.unit.check.test_validate import findings, parts


def test_an_unusual_mount_point_only_gets_a_warning() -> None:
    found = findings(lambda d: parts(d)[3].update(type="srv"))
    assert [(f.code, f.is_error) for f in found] == [("unusual-mount-point", False)]


def test_a_relative_path_of_a_script_that_upstream_does_not_check_gets_a_warning() -> None:
    found = findings(lambda d: d.update(scripts={"preServicing": [{"path": "x.sh"}]}))
    assert [(f.code, f.is_error) for f in found] == [("path-not-absolute", False)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uki", "yes"),
        ("forceAbUpdate", 1),
        ("httpConnectionTimeoutSeconds", True),
        ("httpConnectionTimeoutSeconds", -1),
        ("streamSlowSpeedReportingThresholdMbps", "15"),
        ("veritySignaturePaths", ["/x"]),
        ("veritySignaturePaths", {"root": 5}),
    ],
)
def test_an_internal_parameter_of_the_wrong_type_gets_a_warning(name: str, value: object) -> None:
    found = findings(lambda d: d.update(internalParams={name: value}))
    assert [(f.code, f.path, f.is_error) for f in found] == [
        ("invalid-internal-parameter", f"internalParams.{name}", False)
    ]


def test_internal_parameters_of_the_right_type_and_unknown_ones_pass() -> None:
    params = {"uki": True, "httpConnectionTimeoutSeconds": 5, "mine": 7}
    assert findings(lambda d: d.update(internalParams=params)) == []
