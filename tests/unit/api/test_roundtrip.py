"""Any Host Configuration that can be built is dumped and read back as itself.

A few examples in every run; `ROUND_TRIPS=2000 pytest tests/unit/api/test_roundtrip.py` tries more.
"""

import os

from hypothesis import HealthCheck, given, settings

from agent.api.dump import dump
from agent.api.hostconfig import HostConfiguration
from agent.api.load import load
from tests.kit.configurations import CONFIGURATIONS

EXAMPLES = int(os.environ.get("ROUND_TRIPS", "25"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(CONFIGURATIONS)
def test_a_configuration_survives_being_dumped_and_loaded(configuration: HostConfiguration) -> None:
    assert load(dump(configuration)) == configuration
