"""Who stands for election: one who knows the cluster first, and anybody when there is more to do than labels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from tests.controller.kube_server import LEASE, NAMESPACE, KubeServer, until
from webhook.controller import standing as standing_module
from webhook.controller.election import Election, Timing
from webhook.controller.intake import REQUIRED, Intake
from webhook.controller.labeller import Labeller
from webhook.controller.lease import Caller, LeaseApi
from webhook.controller.standing import Standing
from webhook.inventory.cluster import Cluster
from webhook.sources.kube_api import KubeApi, Listed

FAST = Timing(lease=2.0, renew=1.5, retry=0.1, look=0.05)


class Candidate:
    """One controller's part in the election."""

    def __init__(self, api: KubeApi, name: str, *, labels: bool = True, always: bool = True) -> None:
        cluster = Cluster()
        self.intake = Intake(api, cluster)
        self.election = Election(LeaseApi(cast("Caller", api.transport), NAMESPACE, LEASE), name, FAST)
        self.labelling = False
        labeller = Labeller(api, cluster, lambda: self.election.leading, 100.0) if labels else None
        if labeller:
            labeller.run = self._label  # type: ignore[method-assign]  # who labels is all that counts here
        self.task = asyncio.create_task(Standing(self.election, self.intake, labeller, always=always).run())

    async def _label(self) -> None:
        self.labelling = True
        try:
            await asyncio.Event().wait()
        finally:
            self.labelling = False

    def learn(self) -> None:
        """All is listed."""
        for resource in REQUIRED:
            self.intake(Listed(resource, []))
            self.intake.stats[resource].last_sync = time.time()
            self.intake.stats[resource].problem = None

    def lose(self) -> None:
        self.intake.stats["pods"].problem = "it broke"

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


def play(directory: Path, scenario: Callable[[KubeServer, KubeApi], Awaitable[None]]) -> None:
    async def act() -> None:
        server = KubeServer()
        async with asyncio.timeout(200), server.serve(directory) as api:
            await scenario(server, api)

    asyncio.run(act())


def test_one_who_knows_nothing_leads_when_nobody_else_does_and_labels_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_module, "HANDICAP_SECONDS", 0.5)

    async def scenario(server: KubeServer, api: KubeApi) -> None:
        began = time.monotonic()
        one = Candidate(api, "one")
        await until(lambda: one.election.leading)
        assert time.monotonic() - began >= 0.5
        assert not one.labelling
        one.learn()
        await until(lambda: one.labelling)
        await one.stop()
        assert server.holder == ""

    play(tmp_path, scenario)


def test_one_who_loses_sight_goes_and_one_who_sees_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing_module, "HANDICAP_SECONDS", 2.0)
    monkeypatch.setattr(standing_module, "STALE_SECONDS", 0.3)

    async def scenario(_server: KubeServer, api: KubeApi) -> None:
        one, two = Candidate(api, "one"), Candidate(api, "two")
        one.learn()
        await until(lambda: one.labelling)
        two.learn()
        one.lose()
        await until(lambda: two.labelling)
        assert not one.labelling
        two.lose()
        await until(lambda: not two.labelling)
        await until(lambda: one.election.leading or two.election.leading)  # nobody sees: somebody leads all the same
        assert not one.labelling
        assert not two.labelling
        # A term without sight ends, for another one may see by now.
        terms = one.election.terms + two.election.terms
        await until(lambda: one.election.terms + two.election.terms > terms)
        await one.stop()
        await two.stop()

    play(tmp_path, scenario)


def test_without_labels_there_is_nothing_to_know(tmp_path: Path) -> None:
    async def scenario(_server: KubeServer, api: KubeApi) -> None:
        one = Candidate(api, "one", labels=False)
        await until(lambda: one.election.leading)
        await one.stop()

    play(tmp_path, scenario)


def test_for_labels_alone_nobody_leads_blindly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing_module, "HANDICAP_SECONDS", 0.1)

    async def scenario(server: KubeServer, api: KubeApi) -> None:
        one, two = Candidate(api, "blind", always=False), Candidate(api, "sighted", always=False)
        two.learn()
        await until(lambda: two.labelling)
        assert server.holder == "sighted"
        two.lose()
        assert one.election.terms == 0
        await one.stop()
        await two.stop()

    play(tmp_path, scenario)
