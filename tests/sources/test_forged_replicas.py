"""Leases of replicas as anybody could write them who may write in our namespace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import names
from webhook.sources import replicas

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def lease(status: Any = "{}", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{names.REPLICA_LEASE_PREFIX}warmpod-0",
            "annotations": {names.ANNOTATION_STATUS: status},
            **changes.pop("metadata", {}),
        },
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 40, "renewTime": NOW.isoformat(), **changes},
    }


@given(
    status=JSON | st.text(), metadata=st.dictionaries(st.sampled_from(["name", "annotations", "uid"]), JSON), spec=JSON
)
def test_any_lease_is_a_replica_or_none(status: Any, metadata: dict[str, Any], spec: Any) -> None:
    for document in (lease(status), lease(metadata=metadata), {**lease(), "spec": spec}, {"metadata": metadata}):
        found = replicas.parse(document)
        if found is not None:
            assert found.serial is None or found.serial
            assert found.is_live(NOW) in {True, False}
            assert len(replicas.status(found)) <= replicas.MAX_BYTES


@pytest.mark.parametrize(
    ("forged", "serial"),
    [
        (lease('{"webhook":{"certificate":{"serial":"ab"}}}', leaseDurationSeconds=10**9), "ab"),
        (lease('{"webhook":{"certificate":{"serial":"ab"}}}', leaseDurationSeconds=-1), "ab"),
        (lease('{"webhook":{"certificate":{"serial":["ab"]}}}'), None),
        (lease('{"webhook":{"certificate":"ab"}}'), None),
        (lease('{"webhook":"ab"}'), None),
        (lease('{"webhook":{"certificate":{"serial":"' + "a" * 40_000 + '"}}}'), None),
        (lease("[" * 10_000), None),
        (lease("\ud800"), None),
    ],
    ids=["for ever", "never", "list", "text", "no webhook", "huge", "deep", "surrogate"],
)
def test_hostile_leases_mislead_nobody_for_longer_than_they_last(forged: dict[str, Any], serial: str | None) -> None:
    found = replicas.parse(forged)
    assert found is not None
    assert found.serial == serial
    assert not found.is_live(NOW + timedelta(seconds=121))
