"""Certificates that expire, are lost, are not trusted, or change again and again, while pods are created."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from certs.issue import issue_authority, issue_leaf, load_pair
from tests.cluster import pods
from tests.cluster.drills import registration, secret
from tests.cluster.drills.crowd import COLD
from tests.cluster.drills.fleet import TIMEOUT_SECONDS, Fleet
from tests.cluster.drills.handshakes import SERVER_NAME, Handshakes
from webhook.sandbox.controller import Controller

pytestmark = pytest.mark.cluster

ROTATIONS = 60
AUTHORITY_EVERY = 10
THREADS = 3
LIFETIME = timedelta(seconds=10)
"""Of a leaf that expires: webhooks must read it before, or they would not serve it at all."""


@contextmanager
def asleep(*controllers: Controller) -> Iterator[None]:
    """These controllers do nothing for a while, and know nothing of it."""
    for each in controllers:
        each.process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in controllers:
            each.process.send(signal.SIGCONT)


def test_a_bundle_that_trusts_somebody_else(fleet: Fleet, crowded: str) -> None:
    with fleet.drill(crowded) as drill:
        with asleep(*fleet.box.controllers):
            registration.write_bundle(fleet.box, issue_authority(datetime.now(UTC)).certificate_pem)
            drill.wait_for(COLD, 10)
        drill.warm_again()
    assert all(birth.seconds < TIMEOUT_SECONDS for birth in drill.crowd.births)
    assert drill.cold <= drill.calls.failed_open <= drill.cold + THREADS
    secret.wait_until_served(fleet)


def test_a_certificate_that_expired(fleet: Fleet, crowded: str) -> None:
    box = fleet.box
    with fleet.drill(crowded, pause=0.25) as drill:
        with asleep(*box.controllers):
            held = secret.read(box)
            authority = load_pair(held["ca.crt"], held["ca.key"])
            leaf = issue_leaf(authority, [SERVER_NAME, "127.0.0.1"], datetime.now(UTC), lifetime=LIFETIME)
            secret.write(box, {"tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem})
            for replica in fleet.replicas:
                (replica.webhook.pair / "tls.key").write_bytes(leaf.key_pem)
                (replica.webhook.pair / "tls.crt").write_bytes(leaf.certificate_pem)
            for replica in fleet.replicas:
                fleet.left(replica)  # who serves an expired one is not ready
            drill.all_warm()  # by the connections that are open
            registration.write_bundle(box, held["ca.crt"] + b"\n")  # for another bundle new ones are opened
            drill.wait_for(COLD, 10)
        for replica in fleet.replicas:
            fleet.join(replica)
        drill.warm_again()
    assert all(birth.seconds < TIMEOUT_SECONDS for birth in drill.crowd.births)
    assert drill.cold <= drill.calls.failed_open <= drill.cold + THREADS
    assert secret.wait_until_served(fleet, other_than=secret.serial(leaf.certificate_pem))


def test_a_secret_that_was_deleted(fleet: Fleet, crowded: str) -> None:
    before = secret.wait_until_served(fleet)
    with fleet.drill(crowded) as drill:
        secret.delete(fleet.box)
        secret.wait_until_served(fleet, other_than=before)
        drill.warm_again()
    # The replicas go on with the leaf they have until the API server trusts the next one.
    assert (drill.cold, drill.calls.failed_open) == (0, 0)
    secret.wait_until_at_rest(fleet)


def test_a_replica_that_lags_behind_a_rotation(fleet: Fleet, crowded: str) -> None:
    secret.wait_until_at_rest(fleet)
    before = secret.read(fleet.box)
    replicas = list(fleet.replicas)
    leading = fleet.leader()
    lagging = [each.controller for each in replicas if each.controller not in (None, leading)]
    with fleet.drill(crowded) as drill, Handshakes(fleet.box, fleet.address, replicas) as clients:
        with asleep(*lagging):
            secret.ask(fleet.box, "authority")
            pods.eventually(lambda: secret.read(fleet.box)["ca.crt"] != before["ca.crt"], "other authority")
            drill.all_warm(60)  # for seconds, and the overlap is a fraction of one
            assert before["ca.crt"].strip() in registration.bundle(registration.read(fleet.box))
            assert secret.serial(before["tls.crt"]) in secret.served(fleet)
        secret.wait_until_served(fleet, other_than=secret.serial(before["tls.crt"]))
        secret.wait_until_at_rest(fleet)
    assert before["ca.crt"].strip() not in registration.bundle(registration.read(fleet.box))
    assert clients.failures == []
    assert (drill.cold, drill.calls.failed_open) == (0, 0)


def test_a_leader_that_dies_in_the_middle_of_a_rotation(fleet: Fleet, crowded: str) -> None:
    secret.wait_until_at_rest(fleet)
    before = secret.wait_until_served(fleet)
    leading = fleet.leader()
    replicas = list(fleet.replicas)
    with fleet.drill(crowded) as drill, Handshakes(fleet.box, fleet.address, replicas) as clients:
        secret.ask(fleet.box, "authority")
        pods.eventually(lambda: "next-ca.crt" in secret.read(fleet.box), "next authority")
        leading.kill()
        leading.start()  # by the kubelet; its lease, which nobody gave back, is another's to take
        secret.wait_until_served(fleet, other_than=before)
        secret.wait_until_at_rest(fleet)
    assert (drill.cold, drill.calls.failed_open) == (0, 0)
    assert clients.failures == []


def test_sixty_rotations(fleet: Fleet, crowded: str) -> None:
    secret.wait_until_at_rest(fleet)
    replicas = list(fleet.replicas)
    serials = [secret.wait_until_served(fleet)]
    authorities = set()
    with (
        fleet.drill(crowded, threads=2, pause=0.25) as drill,
        Handshakes(fleet.box, fleet.address, replicas) as clients,
    ):
        for number in range(ROTATIONS):
            secret.ask(fleet.box, "leaf" if number % AUTHORITY_EVERY else "authority")
            serials.append(secret.wait_until_served(fleet, other_than=serials[-1]))
            authorities.add(secret.read(fleet.box)["ca.crt"])
    assert clients.failures == []
    assert (drill.cold, drill.calls.failed_open) == (0, 0)
    assert len(set(serials)) == ROTATIONS + 1
    assert len(authorities) == ROTATIONS // AUTHORITY_EVERY
    assert clients.succeeded > ROTATIONS
