"""What the controller tells of itself: the lines of `/readyz?verbose`, and the numbers of `/metrics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webhook import __version__
from webhook.controller.election import Election
from webhook.controller.intake import OPTIONAL, Intake
from webhook.controller.labeller import Labeller
from webhook.controller.metrics import State
from webhook.controller.publisher import Publisher
from webhook.controller.upkeep import Upkeep, UpkeepState
from webhook.daemon.health import Check, is_ready
from webhook.inventory.cluster import Cluster
from webhook.inventory.objects import Resource

_STUCK_SECONDS = 10.0
_UNSERVED = "not served, and not needed"
_ABSENT: dict[Resource, str] = {
    "persistentvolumes": "not allowed: the zones of volumes are not known; apply the RBAC of manifests/base"
}
_PROBLEMS, _PROBLEM_CHARACTERS = 12, 300
_OLD_SECONDS = 60.0  # twice what a snapshot gets without a change


@dataclass(slots=True)
class Status:
    """The parts of one controller. Who writes no labels has no labeller; who writes nothing at all, no election.

    What it tells names no pods, nodes or namespaces: the plain port is open to whoever reaches it. The log names them.
    """

    cluster: Cluster
    intake: Intake
    publisher: Publisher
    election: Election | None = None
    labeller: Labeller | None = None
    installation: Upkeep | None = None
    stopping: bool = False

    def checks(self) -> list[Check]:
        """Ready when every kind that matters was listed and a snapshot was written: the webhook has what it needs."""
        return [
            Check("stopping", not self.stopping, "this replica is shutting down" if self.stopping else "no"),
            Check("synced", self.cluster.synced, "all listed" if self.cluster.synced else self._missing()),
            *self._snapshot(),
            *self._watches(),
            self._version(),
            *self._leader(),
            *self._labels(),
            *(self.installation.checks() if self.installation else ()),
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
            upkeep=self.installation.state() if self.installation else UpkeepState(),
        )

    def own(self) -> dict[str, Any]:
        """What the replica's Lease says of this process."""
        failing = [check for check in self.checks() if not check.passes]
        return {
            "snapshotAge": self.publisher.age,
            "leading": self.election is not None and self.election.leading,
            "problems": [f"{check.name}: {check.detail}"[:_PROBLEM_CHARACTERS] for check in failing[:_PROBLEMS]],
        }

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
                # Until the API server has said so, what is not there yet is only late.
                problem = _ABSENT.get(resource, _UNSERVED) if stats.restarts["unserved"] else "not listed yet"
                checks.append(Check(f"watch {resource}", resource in OPTIONAL, problem, required=False))
                continue
            detail = problem or f"{stats.lists} lists, {sum(stats.restarts.values())} restarts"
            checks.append(Check(f"watch {resource}", problem is None, detail, required=False))
            if stats.unreadable:
                detail = (
                    f"{len(stats.unreadable)} objects cannot be read and count as absent: log line `objects not read`"
                )
                checks.append(Check(f"unreadable {resource}", passes=False, detail=detail, required=False))
        return checks

    def _version(self) -> Check:
        """Where it is not known, pods get no image volumes."""
        known = self.intake.version
        detail = self.intake.version_problem or (f"Kubernetes {known}" if known else "the API server has not said yet")
        return Check("version", self.intake.version_problem is None, detail, required=False)

    def _leader(self) -> list[Check]:
        election = self.election
        if election is None:
            return []
        holder = "another one" if election.holder else "nobody yet"
        who = "this one" if election.leading else holder
        detail = f"{who}; the Lease is out of reach: log line `lease out of reach`" if election.problem else who
        return [Check("leader", election.problem is None, detail, required=False)]

    def _labels(self) -> list[Check]:
        labeller = self.labeller
        if labeller is None:
            return [Check("labels", passes=True, detail="not written by this one (--no-labels)", required=False)]
        behind = f"{len(self.cluster.behind())} nodes behind"
        trouble = f"; {labeller.trouble}" if labeller.trouble else ""
        checks = [Check("labels", not trouble, behind + trouble, required=False)]
        if conflicts := len(labeller.conflicts):
            detail = f"left to another owner on {conflicts} nodes: log line `labels left to another owner`"
            checks.append(Check("label-conflicts", passes=False, detail=detail, required=False))
        return checks
