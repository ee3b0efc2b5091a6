"""What the controller tells of itself: the lines of `/readyz?verbose`, and the numbers of `/metrics`."""

from __future__ import annotations

from dataclasses import dataclass

from webhook import __version__
from webhook.controller.election import Election
from webhook.controller.intake import OPTIONAL, Intake
from webhook.controller.labeller import Labeller
from webhook.controller.metrics import State
from webhook.controller.publisher import Publisher
from webhook.daemon.health import Check, is_ready
from webhook.inventory.cluster import Cluster

_SHOWN = 5
_STUCK_SECONDS = 10.0
_OLD_SECONDS = 60.0  # twice what a snapshot gets without a change


@dataclass(slots=True)
class Status:
    """The parts of one controller. Without labels there is neither election nor labeller."""

    cluster: Cluster
    intake: Intake
    publisher: Publisher
    election: Election | None = None
    labeller: Labeller | None = None
    stopping: bool = False

    def checks(self) -> list[Check]:
        """Ready when every kind that matters was listed and a snapshot was written: the webhook has what it needs."""
        return [
            Check("stopping", not self.stopping, "this replica is shutting down" if self.stopping else "no"),
            Check("synced", self.cluster.synced, "all listed" if self.cluster.synced else self._missing()),
            *self._snapshot(),
            *self._watches(),
            *self._labels(),
        ]

    def state(self) -> State:
        """What `/metrics` is made of."""
        written = self.publisher.written
        kinds = {"image": 0, "model": 0}
        for artifact in written.inventory.artifacts if written else ():
            kinds[artifact.kind] += 1
        return State(
            version=__version__,
            ready=is_ready(self.checks()),
            watches={str(resource): stats for resource, stats in self.intake.stats.items()},
            broken=frozenset(str(one) for one in self.intake.stats if self.intake.problem(one)),
            snapshot_age=self.publisher.age,
            snapshot_bytes=written.size if written else 0,
            snapshot_writes=self.publisher.successes,
            snapshot_failures=self.publisher.failures,
            snapshot_seconds=self.publisher.seconds,
            nodes=len(written.inventory.nodes) if written else 0,
            artifacts=kinds,
            label_writes=self.labeller.writes if self.labeller else {},
            nodes_behind=len(self.cluster.behind()),
            nodes_conflicting=len(self.labeller.conflicts) if self.labeller else 0,
            leading=self.election is not None and self.election.leading,
            terms=self.election.terms if self.election else 0,
            placements=self.cluster.placements,
            reports_refused=self.cluster.refused,
        )

    def _missing(self) -> str:
        missing = [resource for resource, stats in self.intake.stats.items() if not stats.synced]
        return f"not listed yet: {', '.join(one for one in missing if one not in OPTIONAL)}"

    def _snapshot(self) -> list[Check]:
        publisher = self.publisher
        written, age = publisher.written, publisher.age
        problem = publisher.problem
        if publisher.stuck > _STUCK_SECONDS:
            problem = f"a write hangs for {publisher.stuck:.0f} s"
        if written is None or age is None:
            return [Check("snapshot", passes=False, detail=problem or "not written yet")]
        there = (
            f"id {written.inventory.id}, {len(written.inventory.nodes)} nodes, {written.size} bytes, {age:.0f} s old"
        )
        if age > _OLD_SECONDS and not problem:
            problem = "it is what was known when a watch broke"
        # Once one is in place the webhook judges it by its time, and being out of service would help nobody.
        return [
            Check("snapshot", passes=True, detail=there),
            Check("snapshot-writes", problem is None, problem or f"{publisher.successes} written", required=False),
        ]

    def _watches(self) -> list[Check]:
        checks = []
        for resource, stats in self.intake.stats.items():
            problem = self.intake.problem(resource)
            if problem is None and not stats.synced:
                problem = "not served, and not needed" if resource in OPTIONAL else "not listed yet"
                checks.append(Check(f"watch {resource}", resource in OPTIONAL, problem, required=False))
                continue
            detail = problem or f"{stats.lists} lists, {sum(stats.restarts.values())} restarts"
            checks.append(Check(f"watch {resource}", problem is None, detail, required=False))
            if stats.unreadable:
                shown = "; ".join(f"{name}: {why}" for name, why in list(stats.unreadable.items())[:_SHOWN])
                detail = f"{len(stats.unreadable)} objects cannot be read and count as absent: {shown}"
                checks.append(Check(f"unreadable {resource}", passes=False, detail=detail, required=False))
        return checks

    def _labels(self) -> list[Check]:
        if self.election is None or self.labeller is None:
            return [Check("labels", passes=True, detail="not written by this one (--no-labels)", required=False)]
        election, labeller = self.election, self.labeller
        who = f"this one ({election.identity})" if election.leading else election.holder or "nobody yet"
        leader = f"{who}; {election.problem}" if election.problem else who
        checks = [Check("leader", election.problem is None, leader, required=False)]
        behind = len(self.cluster.behind())
        detail = f"{behind} nodes behind" + (f"; {labeller.problem}" if labeller.problem else "")
        checks.append(Check("labels", labeller.problem is None, detail, required=False))
        conflicts = labeller.conflicts
        if conflicts:
            shown = "; ".join(f"{node}: {', '.join(keys)}" for node, keys in list(conflicts.items())[:_SHOWN])
            detail = f"left to another owner on {len(conflicts)} nodes: {shown}"
            checks.append(Check("label-conflicts", passes=False, detail=detail, required=False))
        return checks
