from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit
from webhook.admission.decision import Settings
from webhook.daemon.health import is_ready
from webhook.inventory.model import EMPTY
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level
from webhook.kube.review import for_pod
from webhook.policy.model import Mode
from webhook.server.metrics import Metrics
from webhook.server.reload import World
from webhook.server.status import Identity, Status
from webhook.server.tls import CertificateFiles
from webhook.sources.policy_files import PolicyFiles
from webhook.sources.snapshot_file import SnapshotFile

LABELS = {"namespaces": {"team-a": {"tier": "serving"}}}
SETTINGS = Settings(hydrator_image="", accelerators=Accelerators(), default_level=Level.BASELINE)
POLICY = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: a}\nspec: {mode: Audit}\n"


class House:
    """A world over files in a temporary directory."""

    def __init__(self, root: Path, credentials: Any, max_age: float = 120.0) -> None:
        self.policies = root / "policies"
        self.policies.mkdir()
        (self.policies / "a.yaml").write_text(POLICY)
        self.snapshot = root / "snapshot.json"
        self.metrics = Metrics()
        self.world = World(
            PolicyFiles(self.policies),
            SnapshotFile(self.snapshot, max_age),
            CertificateFiles(credentials.certificate, credentials.key),
            SETTINGS,
            self.metrics,
        )
        self.status = Status(Identity("1.2.3", "native", "image@sha256:0"), self.world, self.metrics)

    def write(self, *, name: str = "s-1", age: float = 0.0) -> None:
        taken = datetime.fromtimestamp(time.time() - age, UTC).isoformat()
        document = {"schema": 2, "id": name, "time": taken, **LABELS}
        self.snapshot.write_text(json.dumps(document))

    def refresh(self) -> None:
        asyncio.run(self.world.refresh())

    def details(self) -> dict[str, str]:
        return {check.name: check.detail for check in self.status.checks()}


@pytest.fixture
def house(tmp_path: Path, credentials: Any) -> House:
    return House(tmp_path, credentials)


def test_nothing_is_ready_before_the_first_look(house: House) -> None:
    assert not is_ready(house.status.checks())
    facts = house.world.facts("team-a", Mode.ENFORCE)
    assert (facts.policies.policies, facts.inventory, facts.namespace_labels) == ((), EMPTY, None)


def test_facts_are_of_the_last_look(house: House) -> None:
    house.write()
    house.refresh()
    facts = house.world.facts("team-a", Mode.AUDIT)
    assert [policy.name for policy in facts.policies.policies] == ["a"]
    assert facts.inventory.id == "s-1"
    assert facts.placement_usable
    assert facts.namespace_labels == {"tier": "serving"}
    assert facts.mode_cap is Mode.AUDIT
    assert house.world.facts("elsewhere", Mode.ENFORCE).namespace_labels is None
    assert is_ready(house.status.checks())


def test_a_stale_snapshot_leaves_the_namespaces(house: House) -> None:
    house.write()
    house.refresh()
    house.write(name="s-2", age=500)
    house.refresh()
    facts = house.world.facts("team-a", Mode.ENFORCE)
    assert facts.inventory is EMPTY
    assert not facts.placement_usable
    assert facts.namespace_labels == {"tier": "serving"}
    assert is_ready(house.status.checks())
    assert "older than 120 s" in house.details()["snapshot"]


FUTURE, NOW, LONG_AGO = 1000.0, 0.0, -1000.0


@pytest.mark.parametrize(
    ("content", "ahead", "why"),
    [
        pytest.param(None, NOW, "No such file", id="missing"),
        pytest.param({}, LONG_AGO, "older than 120 s", id="stale"),
        pytest.param({}, FUTURE, "more than 120 s ahead of this machine's clock", id="from the future"),
        pytest.param({"parts": 3}, NOW, "truncated: its first line says that 3 parts follow, 0 do", id="truncated"),
        pytest.param({"schema": 3}, NOW, "its schema is 3, this version reads 2", id="newer"),
        pytest.param({"nodes": {}}, NOW, "not a snapshot", id="malformed"),
    ],
)
def test_a_snapshot_that_cannot_be_used_costs_the_placement_and_nothing_else(
    house: House, content: dict[str, Any] | None, ahead: float, why: str
) -> None:
    house.write()
    house.refresh()
    taken = datetime.fromtimestamp(time.time() + ahead, UTC).isoformat()
    house.snapshot.unlink()
    if content is not None:
        house.snapshot.write_text(json.dumps({"schema": 2, "id": "s-2", "time": taken, **LABELS, **content}))
    house.refresh()
    facts = house.world.facts("team-a", Mode.ENFORCE)
    assert (facts.inventory, facts.placement_usable) == (EMPTY, False)
    assert facts.namespace_labels == {"tier": "serving"}
    assert why in house.details()["snapshot"]
    assert house.metrics.reloads["snapshot", "failure"] == 1
    assert not house.status.gauges().snapshot_usable
    assert is_ready(house.status.checks())
    decision = admit(for_pod(builders.gpu_pod(), namespace="team-a"), facts)
    assert decision.allowed
    house.write(name="s-3")
    house.refresh()
    assert house.world.facts("team-a", Mode.ENFORCE).inventory.id == "s-3"


def test_a_snapshot_grows_old_without_a_look(tmp_path: Path, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that hangs holds the look, and must not hold an old snapshot in use."""
    house = House(tmp_path, credentials, max_age=60)
    house.write()
    house.refresh()
    assert house.world.facts("team-a", Mode.ENFORCE).placement_usable
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    facts = house.world.facts("team-a", Mode.ENFORCE)
    assert not facts.placement_usable
    assert facts.inventory is EMPTY


def test_a_failure_is_told_once_and_its_end_too(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "warmpod")
    house.write()
    house.refresh()
    caplog.clear()
    good = house.snapshot.read_bytes()
    house.snapshot.write_bytes(b"{")
    for _ in range(3):
        house.refresh()
    house.snapshot.write_bytes(good)
    house.refresh()
    house.refresh()
    assert [record.getMessage() for record in caplog.records] == ["snapshot not usable", "snapshot usable again"]
    assert house.metrics.reloads["snapshot", "failure"] == 3
    assert house.metrics.reloads["snapshot", "success"] == 1


def test_first_policies_with_a_problem_are_taken_and_the_problem_is_shown(house: House) -> None:
    (house.policies / "b.yaml").write_text(POLICY.replace("name: a", "name: b").replace("mode", "mod"))
    house.refresh()
    assert house.world.policy_count == 1
    assert is_ready(house.status.checks())
    assert "b.yaml:4:" in house.details()["policy-problem"]


def test_an_expired_certificate_is_not_ready(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.refresh()
    later = time.time() + 366 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert not is_ready(house.status.checks())


def test_the_answer_to_a_probe_is_as_short_as_the_api_server_passes_on(house: House) -> None:
    house.write(age=119.123456789)
    house.refresh()
    status = Status(Identity("1.2.3-" + "x" * 500, "native", ""), house.world, house.metrics)
    for cap in Mode:
        warning = status.probe(cap)
        assert len(warning) <= 250
        assert json.loads(warning.removeprefix("warmpod-probe "))["a"] == pytest.approx(119.1, abs=1)


def test_following_survives_whatever_a_look_raises(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[asyncio.Event] = [asyncio.Event(), asyncio.Event()]

    async def broken() -> None:
        next((look for look in looks if not look.is_set()), looks[-1]).set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(house.world, "refresh", broken)

    async def act() -> None:
        following = asyncio.create_task(house.world.follow(0.001))
        async with asyncio.timeout(60):
            for look in looks:
                await look.wait()
        following.cancel()

    asyncio.run(act())
