"""The law of a rotation: no handshake fails, at any moment, whatever lags, crashes, leads twice or is edited.

And that the law can tell: with any one of the rules taken out of the code, it finds handshakes that fail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certs.case import Case
from certs.issue import issue_authority
from tests.controller.simulation import NAMESPACE, START, Cluster, Edit, Faults
from webhook.controller.clock import ServerClock
from webhook.controller.trust import Configuration
from webhook.kube import names
from webhook.sources.kube_api.objects import SECRETS

FOREIGN = issue_authority(START, common_name="somebody").certificate_pem


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    logging.getLogger("warmpod").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("warmpod").setLevel(logging.NOTSET)


def delete_secret(cluster: Cluster) -> None:
    cluster.twin.remove(SECRETS, NAMESPACE, names.TLS_SECRET)


def edit(**changes: bytes | None) -> Edit:
    def act(cluster: Cluster) -> None:
        if cluster.secret is not None:
            cluster.edit(**changes)

    return act


def add_foreign(cluster: Cluster) -> None:
    if cluster.configuration is not None:
        cluster.apply(tuple(one + FOREIGN for one in Configuration(cluster.configuration).bundles))


HARMLESS: dict[str, Edit] = {
    "the Secret is deleted": delete_secret,
    "the authority's key is lost": edit(ca_key=None),
    "the authority's key is garbage": edit(ca_key=b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"),
    "the authority is lost": edit(ca_crt=None, ca_key=None),
    "the leaf is lost": edit(tls_crt=None, tls_key=None),
    "the leaf's key is garbage": edit(tls_key=b"\xff" * 70_000),
    "the next authority is garbage": edit(next__ca_crt=b"x", next__ca_key=b"y"),
    "the next authority is lost": edit(next__ca_crt=None, next__ca_key=None),
    "the authority before is garbage": edit(old__ca_crt=b"x"),
    "the authority before is lost": edit(old__ca_crt=None),
    "notes are garbage": lambda cluster: cluster.annotate(names.ANNOTATION_TRUSTED, "yesterday, all"),
    "notes of the switch are garbage": lambda cluster: cluster.annotate(names.ANNOTATION_SWITCHED, "2999-01-01"),
    "bundles hold a foreign authority": add_foreign,
}


def played(seed: int, seconds: float, faults: Faults | None = None) -> Cluster:
    cluster = Cluster(seed, faults or Faults())
    cluster.run(seconds)
    return cluster


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_no_handshake_fails(seed: int) -> None:
    cluster = played(seed, 1500)
    assert cluster.failed == []
    assert cluster.handshakes > 100
    assert len(cluster.authorities) > 1, "nothing was rotated"


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_no_handshake_fails_whatever_part_of_the_secret_is_lost(seed: int) -> None:
    # A replica that nobody hears of, and that the lost Secret can no longer reach, could not be known to hold on.
    cluster = played(seed, 1500, Faults(partitions=False, edits=tuple(HARMLESS.values())))
    assert cluster.failed == []


def _own_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ServerClock, "now", lambda self: self._own())


ROTATING: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the next one signs before API servers follow": lambda p: p.setattr(Case, "settled", lambda _: True),
    "the one before goes while a replica serves a leaf of it": lambda p: p.setattr(Case, "switched", lambda _: True),
    "the one before goes while a replica is cut off": lambda p: p.setattr(
        Case, "forgettable_at", lambda self: self.now
    ),
    "each leader goes by its own clock": _own_clock,
}
LOSING: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "replicas are not asked whether they hold on": lambda p: p.setattr(Case, "holding", lambda _: False),
    "what is not in the Secret leaves the bundles at once": lambda p: p.setattr(
        Case, "wanted", lambda self: self.held.trusted
    ),
}


@pytest.mark.parametrize("mutant", ROTATING.values(), ids=ROTATING.keys())
def test_the_law_finds_a_rule_that_is_missing(mutant: Callable[[pytest.MonkeyPatch], None]) -> None:
    assert _found(mutant, Faults())


@pytest.mark.parametrize("mutant", LOSING.values(), ids=LOSING.keys())
def test_the_law_finds_a_rule_that_is_missing_when_something_is_lost(
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    assert _found(mutant, Faults(partitions=False, edits=tuple(HARMLESS.values())))


def _found(mutant: Callable[[pytest.MonkeyPatch], None], faults: Faults) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        return any(played(seed, 1500, faults).failed for seed in range(8))
