"""Checks say what they find about any configuration; none makes them fail."""

from hypothesis import HealthCheck, given, settings

from agent.api.hostconfig import HostConfiguration
from agent.api.status import ServicingType
from agent.check import diff, report
from agent.check.report import Report
from agent.check.support import unsupported
from agent.check.validate import storage_graph, validate
from tests.kit.configurations import CONFIGURATIONS

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(CONFIGURATIONS)
def test_any_configuration_gets_findings_that_can_be_reported(hc: HostConfiguration) -> None:
    found = [*validate(hc), *unsupported(hc)]
    assert report.text([Report("hc", found)]).count("error:") >= sum(f.is_error for f in found)
    assert all(finding.message for finding in found)


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(CONFIGURATIONS)
def test_any_graph_tells_sizes(hc: HostConfiguration) -> None:
    graph = storage_graph(hc)
    assert all((graph.size_bytes(device_id) or 0) >= 0 for device_id in graph.by_id)


@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
@given(CONFIGURATIONS)
def test_a_configuration_does_not_differ_from_itself(hc: HostConfiguration) -> None:
    assert diff.forbidden(hc, hc) == []
    chosen = diff.select(hc, hc).servicing
    installed = hc != HostConfiguration()
    forced = installed and hc.image is not None and hc.internal_params.force_ab_update
    assert forced or chosen is (
        ServicingType.NO_ACTIVE_SERVICING if installed else ServicingType.CLEAN_INSTALL
    )
