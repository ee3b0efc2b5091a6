"""A webhook that is gone, hangs, or cannot read its policies: pods start as without it, or as before."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import pods
from webhook.kube import Object
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

TIMEOUT_SECONDS = 2.0
"""Of the registration (manifests/base)."""

MIB = 1 << 20


@contextmanager
def webhook_stopped(box: Sandbox) -> Iterator[None]:
    """The process exists, its port is open, nothing answers."""
    box.webhook.process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        box.webhook.process.send(signal.SIGCONT)


def test_pods_start_without_the_webhook_and_warm_again_with_it(box: Sandbox, namespace: str) -> None:
    box.webhook.process.send(signal.SIGKILL)
    pods.eventually(lambda: not box.webhook.process.running, "end of the webhook")
    try:
        started = time.monotonic()
        other = pods.container(image=pods.OTHER_IMAGE)
        pods.assert_untouched(pods.create(box, namespace, pods.pod("alone", containers=[other])))
        assert time.monotonic() - started < TIMEOUT_SECONDS
        assert pods.scheduled(box, namespace, "alone")
    finally:
        box.restart_webhook()
    pods.assert_warm(pods.create(box, namespace, pods.pod("again")))


def test_a_hanging_webhook_costs_its_timeout_and_no_more(box: Sandbox, namespace: str) -> None:
    with webhook_stopped(box):
        started = time.monotonic()
        pods.assert_untouched(pods.create(box, namespace, pods.pod("late", **pods.NOBODY)))
        took = time.monotonic() - started
    assert TIMEOUT_SECONDS * 0.9 < took < TIMEOUT_SECONDS * 1.9
    pods.assert_warm(pods.create(box, namespace, pods.pod("in-time")))


def test_a_broken_policy_file_keeps_the_last_good_set(box: Sandbox, namespace: str, policies: Path) -> None:
    file = policies / "policies.yaml"
    good = file.read_text()
    try:
        file.write_text("kind: [WarmPolicy\n")
        pods.eventually(lambda: "[!] policies-as-they-are:" in box.webhook.details(), "complaint about the file")
        assert "policies.yaml" in box.webhook.details()
        pods.assert_warm(pods.create(box, namespace, pods.pod("last-good")))
        file.write_text(good.replace("value: WARN", "value: TRACE"))
        pods.eventually(lambda: "[+] policies-as-they-are:" in box.webhook.details(), "policies in force again")
        stored = pods.create(box, namespace, pods.pod("mended"))
        assert pods.env(stored["spec"]["containers"][0])["NCCL_DEBUG"] == "TRACE"
    finally:
        before = box.webhook.metrics()
        file.write_text(good)
        pods.eventually(lambda: loads(box.webhook.metrics()) > loads(before), "the first policies in force again")


def loads(metrics: str) -> float:
    """How often the webhook loaded changed policies."""
    [line] = [line for line in metrics.splitlines() if 'reloads_total{result="success",source="policies"}' in line]
    return float(line.rpartition(" ")[2])


def big_pod(name: str, size: int) -> Object:
    """A warm-able pod of about `size` bytes of JSON."""
    text = "x" * 100_000
    count = (size - 2000) // (len(text) + 30)
    return pods.pod(name, containers=[pods.container(env=[{"name": f"E{n}", "value": text} for n in range(count)])])


def test_a_pod_as_big_as_etcd_takes_is_warm(box: Sandbox, namespace: str) -> None:
    document = big_pod("big", int(1.4 * MIB))
    # The managed fields and defaults come on top of what is sent; etcd's limit is 1.5 MiB.
    pods.assert_warm(pods.create(box, namespace, document))


def test_a_pod_near_the_limit_of_the_api_server_is_reviewed_in_time(box: Sandbox, namespace: str) -> None:
    document = big_pod("bigger", int(2.9 * MIB))
    # Were it not, the API server would store it as it was sent.
    pods.assert_warm(pods.create(box, namespace, document, dryRun="All"))


def test_a_pod_over_the_limit_never_reaches_us(box: Sandbox, namespace: str) -> None:
    reviews = box.webhook.reviews()
    with pytest.raises(RefusedRequest) as caught:
        pods.create(box, namespace, big_pod("biggest", int(3.3 * MIB)), dryRun="All")
    assert caught.value.status == 413
    assert box.webhook.reviews() == reviews
