"""Metrics out of plain numbers: what is counted on a hot path is turned into families when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Labels = TypeVar("Labels", str, tuple[str, str])


def plain(name: str, text: str, value: float) -> Metric:
    """A counter without labels; `_total` is added to its name."""
    return CounterMetricFamily(name, text, value)


def counter(name: str, text: str, labels: Sequence[str], counts: Mapping[Labels, int]) -> Metric:
    """A counter by labels; keys are one label's value, or a pair of values."""
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in counts.items():
        family.add_metric(_values(key), value)
    return family


def gauge(name: str, text: str, labels: Sequence[str], values: Mapping[str, float]) -> Metric:
    """A gauge by one label."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(_values(key), value)
    return family


def _values(key: str | tuple[str, str]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else key
