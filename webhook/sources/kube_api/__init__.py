"""The Kubernetes API as Warmpod uses it: follow resources, label nodes, and take every fault for an ordinary event."""

from __future__ import annotations

from webhook.sources.kube_api.backoff import Pace
from webhook.sources.kube_api.connection import KubeApi
from webhook.sources.kube_api.credentials import NoCluster
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.follow import Changed, Listed, follow
from webhook.sources.kube_api.permissions import CALLS
from webhook.sources.kube_api.stats import WatchStats
from webhook.sources.kube_api.writes import Conflict, NodeGone, Refused, Throttled, Unwritten

__all__ = [
    "CALLS",
    "ApiFailure",
    "Changed",
    "Conflict",
    "KubeApi",
    "Listed",
    "NoCluster",
    "NodeGone",
    "Pace",
    "Refused",
    "Throttled",
    "Unwritten",
    "WatchStats",
    "follow",
]
