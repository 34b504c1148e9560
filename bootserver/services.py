"""What the server's parts share within one process. Made anew in each process, after the fork."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bootserver.boot import artifacts as artifact_sets
from bootserver.boot.artifacts import Artifacts
from bootserver.boot.policy import BootPolicy
from bootserver.boot.serving import Scripts
from bootserver.database import Database
from bootserver.hosts import Hosts
from bootserver.media.digests import Digests
from bootserver.media.media import Media
from bootserver.reports.files import ReportFiles
from bootserver.reports.observer import Observer
from bootserver.settings import Settings
from bootserver.store import Store


@dataclass(frozen=True)
class Services:
    """The parts, wired together."""

    settings: Settings
    database: Database
    store: Store
    hosts: Hosts
    artifacts: Callable[[], Artifacts]
    policy: BootPolicy
    scripts: Scripts
    media: Media
    observer: Observer
    report_files: ReportFiles

    @classmethod
    def open(cls, settings: Settings) -> Services:
        """Open the database and wire everything. Raises state-not-writable."""
        database = Database(settings.state)
        store = Store(database)
        hosts = Hosts(settings, store)
        artifacts = artifact_sets.watch(settings.artifacts)
        policy = BootPolicy(hosts, store, artifacts, settings.base_url)
        return cls(
            settings=settings,
            database=database,
            store=store,
            hosts=hosts,
            artifacts=artifacts,
            policy=policy,
            scripts=Scripts(settings, policy, hosts, artifacts),
            media=Media(settings, policy, Digests(database)),
            observer=Observer(store),
            report_files=ReportFiles(settings.state),
        )
