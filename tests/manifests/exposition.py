"""What can be asked of Prometheus: the metrics of our processes, by what they really expose, and the API server's."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from webhook.controller.metrics import Metrics as ControllerMetrics
from webhook.controller.metrics import State
from webhook.server.metrics import SOURCES, Gauges, Metrics
from webhook.sources.kube_api import WatchStats

API_SERVER = {
    "apiserver_admission_webhook_fail_open_count",
    "apiserver_admission_webhook_rejection_count",
    "apiserver_admission_webhook_request_total",
    "apiserver_admission_webhook_admission_duration_seconds_bucket",
    "apiserver_admission_webhook_admission_duration_seconds_count",
    "apiserver_admission_webhook_admission_duration_seconds_sum",
}
"""https://kubernetes.io/docs/reference/instrumentation/metrics/ and seen on a real API server."""

KNOWN: Mapping[str, Mapping[Any, Any]] = {
    "watches": {"pods": WatchStats(Counter(ended=1, forbidden=1), Counter(ADDED=1), last_event=1.0)},
    "expiries": {"serving": 1.0, "authority": 2.0},
    "rotations": {"leaf": 1, "authority": 1},
    "replicas": {"serving": 1, "not-ready": 0, "silent": 0},
    "artifacts": {"image": 1, "model": 1},
    "label_writes": dict.fromkeys(("applied", "conflict", "gone", "throttled", "refused", "failed"), 1),
    "placements": {("image", "warm"): 1, ("image", "cold"): 1, ("model", "warm"): 1, ("model", "cold"): 1},
    "reports_refused": {"x": 1},
}


@lru_cache
def our_samples() -> Mapping[str, list[dict[str, str]]]:
    """Labels of every sample that a webhook or a controller which knows everything exposes, by the sample's name."""
    webhook = Metrics(lambda: _full(Gauges(source_problems=dict.fromkeys(SOURCES, False))))
    webhook.policy_results["p", "matched"] = webhook.policy_results["p", "errored"] = 1
    webhook.reloaded("policies", now=1.0, failed=False)
    controller = ControllerMetrics(lambda: _full(State()))
    found: dict[str, list[dict[str, str]]] = {}
    for metrics in (webhook, controller):
        for family in text_string_to_metric_families(metrics.exposition().decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def _full(state: Any) -> Any:
    """The same with a value where nothing is known."""
    known: dict[str, Any] = {}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if field.name in KNOWN:
            known[field.name] = KNOWN[field.name]
        elif value is None:
            known[field.name] = 1.0
        elif dataclasses.is_dataclass(value):
            known[field.name] = _full(value)
    return dataclasses.replace(state, **known)


def metrics_of(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:warmpod|apiserver|process)_\w+", plain))


def matchers(expression: str) -> Iterator[tuple[str, str, str]]:
    """Metric, label and value of every `label="value"` within it."""
    for metric, inner in re.findall(r"\b(\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)="([^"$]*)"', inner):
            yield metric, label, value
