"""Webhooks that are gone, hang, start, end, or are replaced, while pods are created: each is admitted, in time.

docs/drills.md says what was learnt of the API server on the way.
"""

from __future__ import annotations

import gc
import shutil
import signal
import time

import pytest

from tests.cluster import pods
from tests.cluster.drills import calls
from tests.cluster.drills.crowd import COLD, UNREACHABLE, WARM
from tests.cluster.drills.fleet import DRAIN_SECONDS, IDLE_CONNECTIONS, TIMEOUT_SECONDS, Fleet
from webhook.sandbox.replica import Replica

pytestmark = pytest.mark.cluster

THREADS = 3


def test_every_webhook_down(fleet: Fleet, crowded: str) -> None:
    replicas = fleet.replicas
    with fleet.drill(crowded) as drill:
        for replica in replicas:
            replica.webhook.kill()
        drill.wait_for(COLD, 10)  # the Service may still lead to them: connections are refused
        for replica in replicas:
            fleet.left(replica)
        down = drill.mark()
        drill.wait_for(COLD, 10)  # it leads nowhere
        drill.only(COLD, down)
        fleet.start(*replicas)
        drill.warm_again()
    assert all(birth.seconds < TIMEOUT_SECONDS for birth in drill.crowd.births)
    # A pod that one review had made warm may have lost its second review, one for each thread and kill.
    assert drill.cold <= drill.calls.failed_open <= drill.cold + THREADS * len(replicas)


def test_every_webhook_hanging(fleet: Fleet, crowded: str) -> None:
    replicas = fleet.replicas
    with fleet.drill(crowded) as drill:
        fleet.send(signal.SIGSTOP, *replicas)
        try:
            hanging = drill.mark()
            drill.wait_for(COLD, 10)
        finally:
            fleet.send(signal.SIGCONT, *replicas)
        for replica in replicas:
            fleet.join(replica)
        drill.warm_again()
    waited = [birth.seconds for birth in drill.crowd.births if birth.began >= hanging and birth.outcome == COLD]
    assert max(waited) > TIMEOUT_SECONDS * 0.9
    assert drill.cold <= drill.calls.failed_open


def test_half_of_the_replicas_killed(fleet: Fleet, crowded: str) -> None:
    with fleet.drill(crowded) as drill:
        gone = fleet.busiest()
        gone.webhook.kill()
        fleet.left(gone)
        drill.warm_again()
        fleet.start(gone)
    # Lost are the reviews that it had begun, and those whose new connections led to it before the endpoint went.
    assert drill.calls.failed_open >= drill.cold


def test_half_of_the_replicas_hanging(fleet: Fleet, crowded: str) -> None:
    gone, other = fleet.replicas
    with fleet.drill(crowded) as drill:
        # An API server keeps to the connections that it has, whoever joins: so all of them lead to the one that hangs.
        fleet.evict(other, late=DRAIN_SECONDS * 0.3)
        drill.all_warm()
        fleet.start(other)
        fleet.send(signal.SIGSTOP, gone)
        try:
            pods.eventually(
                lambda: calls.read(fleet.box).failed_open > drill.before.failed_open, "review that hung until its end"
            )
            fleet.left(gone)
            # Connections that the API server has are not closed with the endpoint; each costs a timeout, once.
            drill.warm_again()
        finally:
            fleet.send(signal.SIGCONT, gone)
        fleet.join(gone)
    assert 0 < drill.calls.failed_open <= IDLE_CONNECTIONS + 2 * THREADS


def test_a_webhook_that_starts_gets_no_review_before_it_is_ready(fleet: Fleet, crowded: str) -> None:
    starting, other = fleet.replicas
    assert starting.controller is not None
    with fleet.drill(crowded) as drill:
        fleet.evict(starting, late=0.0)
        starting.controller.stop()
        shutil.rmtree(starting.webhook.pair)
        starting.webhook.start()  # as a pod's first container: the pair comes from the second one
        pods.eventually(lambda: "not ready" in answer(starting), "webhook that waits for its certificate")
        fleet.kubelet.watch(starting)
        drill.all_warm()
        assert not fleet.kubelet.leads_to(starting)
        assert (drill.cold, calls.read(fleet.box).failed_open) == (0, drill.before.failed_open)
        other.webhook.kill()
        drill.wait_for(COLD, 10)
        starting.controller.start()
        fleet.join(starting)
        drill.warm_again()
        fleet.start(other)
    assert drill.cold <= drill.calls.failed_open <= drill.cold + THREADS
    assert all(birth.seconds < TIMEOUT_SECONDS for birth in drill.crowd.births)


def answer(replica: Replica) -> str:
    """What it says of its readiness; nothing while it does not answer."""
    try:
        return replica.webhook.details()
    except OSError:
        return ""


def test_an_eviction_loses_no_review(fleet: Fleet, crowded: str) -> None:
    # Each thread has a connection of its own; on leaving it connects anew, to either replica.
    with fleet.drill(crowded, threads=6, pause=0.25) as drill:
        for late in (DRAIN_SECONDS * 0.1, DRAIN_SECONDS * 0.4):
            gone = fleet.busiest()
            fleet.evict(gone, late=late)
            drill.all_warm()
            fleet.start(gone)
    assert (drill.cold, drill.calls.failed_open) == (0, 0)


def test_a_rolling_upgrade_loses_no_review(fleet: Fleet, crowded: str) -> None:
    old = fleet.replicas
    with fleet.drill(crowded, threads=4, pause=0.25) as drill:
        for number, replica in enumerate(old, 1):
            fleet.join(fleet.box.add_replica(f"upgrade-{time.monotonic_ns():x}-{number}"))
            drill.all_warm()
            fleet.evict(replica, late=DRAIN_SECONDS * 0.3)
            fleet.box.remove_replica(replica)
        drill.all_warm()
    assert (drill.cold, drill.calls.failed_open) == (0, 0)


# Python leaves a TLS socket open whose other end goes between connecting and the handshake (CPython, ssl.py, _create).
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_an_api_server_that_starts_again_calls_us_from_its_first_pod_on(fleet: Fleet, crowded: str) -> None:
    # Whoever comes while it starts waits until it knows its registrations, up to ten seconds: that is not of our doing.
    with fleet.drill(crowded, budget=30) as drill:
        with fleet.box.without_api_server():
            drill.wait_for(UNREACHABLE, 3)
        drill.warm_again()
    assert (drill.cold, drill.calls.failed_open) == (0, 0)
    assert drill.crowd.outcomes().count(WARM) > 0
    gc.collect()  # such a socket is told of here, and not in a test that comes later
