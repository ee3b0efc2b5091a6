"""What Prometheus sees of the controller. Labels hold resources, reasons and results: never names of objects.

`docs/metrics.md` lists every metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webhook.controller.upkeep import UpkeepState
from webhook.daemon.families import counter, gauge, plain
from webhook.daemon.protocol import CLOSED_REASONS
from webhook.sources.kube_api import WatchStats


@dataclass(slots=True)
class State:
    """What is true now and what was counted so far, asked for at the scrape."""

    version: str = ""
    ready: bool = False
    watches: Mapping[str, WatchStats] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    """Resources that are not followed at present."""
    snapshot_age: float | None = None
    snapshot_bytes: int = 0
    snapshot_writes: int = 0
    snapshot_failures: int = 0
    snapshot_seconds: float = 0.0
    nodes: int = 0
    artifacts: Mapping[str, int] = field(default_factory=dict)
    label_writes: Mapping[str, int] = field(default_factory=dict)
    nodes_behind: int = 0
    nodes_conflicting: int = 0
    leading: bool = False
    terms: int = 0
    placements: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reports_refused: Mapping[str, int] = field(default_factory=dict)
    upkeep: UpkeepState = field(default_factory=UpkeepState)


class Metrics(Collector):
    """The metrics of one controller process."""

    def __init__(self, state: Callable[[], State] = State) -> None:
        self.state = state
        self.closed: Counter[str] = Counter(dict.fromkeys(CLOSED_REASONS, 0))
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def close(self, reason: str) -> None:
        """Count a connection that we closed on a client."""
        self.closed[reason] += 1

    def exposition(self) -> bytes:
        """The text that `/metrics` answers."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric as it stands now."""
        now = self.state()
        build = GaugeMetricFamily("warmpod_controller_build_info", "Always 1.", labels=("version",))
        build.add_metric((now.version,), 1)
        yield build
        yield GaugeMetricFamily("warmpod_controller_ready", "1 when /readyz answers 200.", float(now.ready))
        yield from _watches(now)
        yield from _snapshot(now)
        yield GaugeMetricFamily("warmpod_controller_nodes", "Nodes in the inventory.", now.nodes)
        yield gauge("warmpod_controller_artifacts", "Artifacts in the inventory.", ("kind",), now.artifacts)
        yield counter("warmpod_controller_label_writes", "Writes of labels.", ("result",), now.label_writes)
        yield GaugeMetricFamily(
            "warmpod_controller_nodes_behind", "Nodes whose labels are not as planned.", now.nodes_behind
        )
        yield GaugeMetricFamily(
            "warmpod_controller_nodes_conflicting", "Nodes with labels left to another owner.", now.nodes_conflicting
        )
        yield GaugeMetricFamily("warmpod_controller_leader", "1 while this one labels nodes.", float(now.leading))
        yield plain("warmpod_controller_leader_terms", "Times that this one was elected.", now.terms)
        yield counter(
            "warmpod_controller_placements",
            "Pods bound whose affinity named our labels, by where they came to run.",
            ("kind", "result"),
            now.placements,
        )
        yield counter(
            "warmpod_controller_reports_refused",
            "Hydrators' reports, or parts of them, not believed.",
            ("reason",),
            now.reports_refused,
        )
        yield counter(
            "warmpod_controller_connections_closed", "Connections closed on a client.", ("reason",), self.closed
        )
        yield from _upkeep(now.upkeep)


def _watches(now: State) -> Iterator[Metric]:
    restarts = CounterMetricFamily(
        "warmpod_controller_watch_restarts", "Ends of watches and failed requests.", labels=("resource", "reason")
    )
    events = CounterMetricFamily("warmpod_controller_watch_events", "Events of watches.", labels=("resource", "kind"))
    lists = CounterMetricFamily("warmpod_controller_watch_lists", "Complete lists.", labels=("resource",))
    ok = GaugeMetricFamily("warmpod_controller_watch_ok", "1 while a resource is followed.", labels=("resource",))
    heard = GaugeMetricFamily(
        "warmpod_controller_watch_last_event_timestamp_seconds",
        "When the API last said anything.",
        labels=("resource",),
    )
    unreadable = GaugeMetricFamily(
        "warmpod_controller_watch_unreadable", "Objects that cannot be read and count as absent.", labels=("resource",)
    )
    for resource, stats in now.watches.items():
        for reason, count in stats.restarts.items():
            restarts.add_metric((resource, reason), count)
        for kind, count in stats.events.items():
            events.add_metric((resource, kind), count)
        lists.add_metric((resource,), stats.lists)
        ok.add_metric((resource,), float(resource not in now.broken and stats.synced))
        unreadable.add_metric((resource,), len(stats.unreadable))
        if stats.last_event is not None:
            heard.add_metric((resource,), stats.last_event)
    yield from (restarts, events, lists, ok, heard, unreadable)


def _snapshot(now: State) -> Iterator[Metric]:
    if now.snapshot_age is not None:
        yield GaugeMetricFamily(
            "warmpod_controller_snapshot_age_seconds", "Age of the snapshot in place.", now.snapshot_age
        )
    yield GaugeMetricFamily("warmpod_controller_snapshot_bytes", "Its size.", now.snapshot_bytes)
    yield counter(
        "warmpod_controller_snapshot_writes",
        "Snapshots written, and not.",
        ("result",),
        {"success": now.snapshot_writes, "failure": now.snapshot_failures},
    )
    yield plain(
        "warmpod_controller_snapshot_write_seconds", "Time that writing them took in all.", now.snapshot_seconds
    )


def _upkeep(now: UpkeepState) -> Iterator[Metric]:
    """What is not known, or not this process's to look after, has no sample."""
    yield gauge(
        "warmpod_controller_certificate_expiry_timestamp_seconds",
        "When what the Secret holds ends.",
        ("certificate",),
        now.expiries,
    )
    yield counter(
        "warmpod_controller_certificate_rotations", "Rotations carried out by this one.", ("kind",), now.rotations
    )
    flags = {
        "warmpod_controller_certificate_problem": ("1 while certificates need a look.", now.certificate_problem),
        "warmpod_controller_webhook_configuration_ok": ("1 while it leads to us.", now.configuration_ok),
        "warmpod_controller_policy_report_problem": ("1 while reports are not all written.", now.report_problem),
    }
    for name, (text, value) in flags.items():
        if value is not None:
            yield GaugeMetricFamily(name, text, float(value))
    if now.restored is not None:
        yield plain("warmpod_controller_webhook_configuration_restored", "Times that it was made anew.", now.restored)
    yield gauge("warmpod_controller_replicas", "Replicas, by how they do.", ("state",), now.replicas)
    yield gauge("warmpod_controller_policy_reports", "Reports, by how they do.", ("state",), now.reports)
    if now.skew is not None:
        yield GaugeMetricFamily(
            "warmpod_controller_clock_skew_seconds", "How far our clock is ahead of the API server's.", now.skew
        )
