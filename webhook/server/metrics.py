"""What Prometheus sees. Labels hold names of policies, outcomes and reasons: never of objects, never values.

Everything on the path of a review is a plain number in a plain dictionary, touched by the event loop alone, and turned
into metrics when somebody asks: a review under fifty policies costs fifty additions, not fifty locks.
`docs/metrics.md` lists every metric.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from webhook.daemon.families import counter, gauge, plain
from webhook.daemon.protocol import CLOSED_REASONS
from webhook.server.handshake import FAILURES
from webhook.server.record import Outcome, Record

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SOURCES = ("policies", "snapshot", "certificate", "client-ca", "bearer-tokens")
REFUSED_STATUSES = ("400", "401", "403", "408", "413", "415")
RECORD_RESULTS = ("written", "failed", "dropped")
STRANGERS = ("client-name", "token-missing", "token-unknown")


@dataclass(slots=True)
class Gauges:
    """What is true now, asked for at the scrape."""

    version: str = ""
    cel_engine: str = ""
    policies: int = 0
    policy_problems: int = 0
    snapshot_usable: bool = False
    snapshot_age: float | None = None
    snapshot_changes: int = 0
    certificate_expiry: float | None = None
    source_problems: Mapping[str, bool] = field(default_factory=dict)
    """Of every source that is configured, whether its files as they are now are not, or not all, in force."""
    ready: bool = False
    connections: int = 0


class Metrics(Collector):
    """The counters of one webhook process, and a sink for its records."""

    def __init__(self, gauges: Callable[[], Gauges] = Gauges) -> None:
        self.gauges = gauges
        self.reviews: Counter[str] = Counter({str(outcome): 0 for outcome in Outcome})
        self.policy_results: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter(dict.fromkeys(REFUSED_STATUSES, 0))
        self.strangers: Counter[str] = Counter(dict.fromkeys(STRANGERS, 0))
        self.handshakes: Counter[str] = Counter(dict.fromkeys(FAILURES, 0))
        self.closed: Counter[str] = Counter(dict.fromkeys(CLOSED_REASONS, 0))
        self.reloads: Counter[tuple[str, str]] = Counter(
            {(source, result): 0 for source in SOURCES for result in ("success", "failure")}
        )
        self.last_success: dict[str, float] = {}
        self.sink_failures = 0
        self.recording = False
        self.records: Counter[str] = Counter(dict.fromkeys(RECORD_RESULTS, 0))
        self.records_failing = False
        self.law_violations = 0
        self.seconds_saved = 0.0
        self.would_seconds_saved = 0.0
        self._durations = [0] * (len(BUCKETS) + 1)
        self._duration_sum = 0.0
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def __call__(self, record: Record) -> None:
        """Count a decided review. Of a dry run only that it was one: it is no pod."""
        outcome = record.outcome
        self.reviews[outcome] += 1
        self._durations[bisect_left(BUCKETS, record.duration)] += 1
        self._duration_sum += record.duration
        self.law_violations += len(record.violations)
        if outcome is Outcome.DRY_RUN:
            return
        results = self.policy_results
        for verdict in record.policies:
            results[verdict.name, verdict.result] += 1
        self.seconds_saved += record.seconds_saved
        self.would_seconds_saved += record.would_seconds_saved

    def close(self, reason: str) -> None:
        """Count a connection that we closed on a client."""
        self.closed[reason] += 1

    def handshake_failed(self, reason: str) -> None:
        """Count a handshake that came to nothing."""
        self.handshakes[reason] += 1

    def reloaded(self, source: str, *, now: float, failed: bool) -> None:
        """Count a reload of one of SOURCES that found something new."""
        self.reloads[source, "failure" if failed else "success"] += 1
        if not failed:
            self.last_success[source] = now

    def exposition(self) -> bytes:
        """The text that `/metrics` answers."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric as it stands now."""
        yield counter("warmpod_reviews", "Reviews by what became of them.", ("outcome",), self.reviews)
        yield self._histogram()
        yield counter(
            "warmpod_policy_results", "What each policy said of a review.", ("policy", "result"), self.policy_results
        )
        yield counter("warmpod_refused_requests", "HTTP requests refused before a decision.", ("status",), self.refused)
        yield plain(
            "warmpod_law_violations", "Results that broke a law of ours; their patch was dropped.", self.law_violations
        )
        saved = CounterMetricFamily(
            "warmpod_seconds_saved", "Estimated start-up seconds saved by placement.", labels=("mode",)
        )
        saved.add_metric(("enforced",), self.seconds_saved)
        saved.add_metric(("would",), self.would_seconds_saved)
        yield saved
        yield counter(
            "warmpod_reloads", "Reloads that found something new, or failed.", ("source", "result"), self.reloads
        )
        last = GaugeMetricFamily(
            "warmpod_reload_last_success_timestamp_seconds", "When a source was last loaded.", labels=("source",)
        )
        for source, at in self.last_success.items():
            last.add_metric((source,), at)
        yield last
        yield counter("warmpod_strangers", "Requests of callers who may not ask.", ("reason",), self.strangers)
        yield counter("warmpod_handshakes_failed", "TLS handshakes that failed, by why.", ("reason",), self.handshakes)
        yield counter("warmpod_connections_closed", "Connections closed on a client, by why.", ("reason",), self.closed)
        yield plain("warmpod_sink_failures", "Records a log or metrics sink failed to take.", self.sink_failures)
        if self.recording:
            yield counter("warmpod_records", "Reviews to be recorded, by what came of it.", ("result",), self.records)
            yield GaugeMetricFamily(
                "warmpod_records_failing", "1 while records cannot be written.", float(self.records_failing)
            )
        yield from _gauges(self.gauges())

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily(
            "warmpod_review_duration_seconds", "From the request's headers to its answer, body included."
        )
        total = 0
        buckets = []
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], self._durations, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric((), buckets, self._duration_sum)
        return family


def _gauges(now: Gauges) -> Iterator[Metric]:
    build = GaugeMetricFamily("warmpod_build_info", "Always 1.", labels=("version", "cel_engine"))
    build.add_metric((now.version, now.cel_engine), 1)
    yield build
    yield GaugeMetricFamily("warmpod_ready", "1 when /readyz answers 200.", float(now.ready))
    yield GaugeMetricFamily("warmpod_policies_loaded", "Policies in force.", now.policies)
    yield GaugeMetricFamily("warmpod_policy_problems", "Problems in the policy files as they are.", now.policy_problems)
    yield GaugeMetricFamily("warmpod_snapshot_usable", "1 when placement has facts.", float(now.snapshot_usable))
    if now.snapshot_age is not None:
        yield GaugeMetricFamily("warmpod_snapshot_age_seconds", "Age of the snapshot read last.", now.snapshot_age)
    yield plain("warmpod_snapshot_changes", "Snapshots with a new id.", now.snapshot_changes)
    if now.certificate_expiry is not None:
        yield GaugeMetricFamily(
            "warmpod_certificate_expiry_timestamp_seconds",
            "When the served certificate expires.",
            now.certificate_expiry,
        )
    yield gauge(
        "warmpod_source_problem",
        "1 while files as they are now are not in force.",
        ("source",),
        {source: float(wrong) for source, wrong in now.source_problems.items()},
    )
    yield GaugeMetricFamily("warmpod_connections_open", "Open connections to the webhook's port.", now.connections)
