from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import datastore
from agent.api.errors import TridentError
from agent.api.hostconfig import HostConfiguration
from agent.api.status import HostStatus, ServicingState, ServicingType
from agent.engine.context import Context
from agent.engine.execute import execute
from agent.reporting.recorder import Recorder
from agent.subsystems import history
from agent.subsystems.management import Management

FINAL = HostStatus(servicing_state=ServicingState.CLEAN_INSTALL_FINALIZED)


def context(newroot: Path, datastore_path: str | None = None) -> Context:
    document = {"trident": {"datastorePath": datastore_path}} if datastore_path else {}
    configuration = HostConfiguration.model_validate_json(json.dumps(document))
    return Context(configuration, ServicingType.CLEAN_INSTALL, newroot=newroot)


def stage(given: Context) -> None:
    execute(Management(lambda _: FINAL).stage(given), given, Recorder("install", []))


def test_trident_conf_is_written_only_for_another_path(tmp_path: Path) -> None:
    stage(context(tmp_path))
    assert list(tmp_path.iterdir()) == []
    stage(context(tmp_path, "/srv/t/d.sqlite"))
    conf = tmp_path / "etc/trident/trident.conf"
    assert conf.read_text() == "DatastorePath=/srv/t/d.sqlite\n"
    stage(context(tmp_path, "/srv/t/d.sqlite"))


def test_an_image_that_says_another_path_is_refused(tmp_path: Path) -> None:
    conf = tmp_path / "etc/trident/trident.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("DatastorePath=/a.sqlite\n")
    with pytest.raises(TridentError) as caught:
        stage(context(tmp_path, "/srv/t/d.sqlite"))
    assert caught.value.code == "image-bad-agent-configuration"
    assert conf.read_text() == "DatastorePath=/a.sqlite\n"
    with pytest.raises(TridentError):
        stage(context(tmp_path))


@pytest.mark.tools
def test_a_disabled_agent_is_not_started_at_boot(tmp_path: Path) -> None:
    unit = tmp_path / "usr/lib/systemd/system/trident.service"
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants/trident.service"
    for path in (unit, wanted):
        path.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
    wanted.symlink_to("/usr/lib/systemd/system/trident.service")
    stage(context(tmp_path))
    assert wanted.is_symlink()
    stage(disabled(tmp_path))
    assert not wanted.is_symlink()


def disabled(newroot: Path) -> Context:
    configuration = HostConfiguration.model_validate_json('{"trident": {"disable": true}}')
    return Context(configuration, ServicingType.CLEAN_INSTALL, newroot=newroot)


def test_finalize_leaves_a_datastore_in_the_target(tmp_path: Path) -> None:
    given = context(tmp_path, "/srv/t/d.sqlite")
    execute(Management(lambda _: FINAL).finalize(given), given, Recorder("install", []))
    with datastore.opened(tmp_path / "srv/t/d.sqlite") as store:
        assert store.latest() == FINAL


def test_kept_logs_have_upstreams_names() -> None:
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert history.names(ServicingState.CLEAN_INSTALL_FINALIZED, time) == (
        "trident-CleanInstallFinalized-20260102T030405Z.log",
        "trident-metrics-CleanInstallFinalized-20260102T030405Z.jsonl",
    )
