"""What cannot be seen is unknown; whatever is missing or odd, there is a verdict and no crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doctor.installation import (
    VERSION,
    healthy,
    leaf,
    needed,
)
from webhook.doctor.diagnosis import ORDER, diagnose
from webhook.doctor.evidence import Absent, Barred, Evidence, Failed, Look, Seen
from webhook.doctor.finding import State


def changed(**looks: Any) -> Evidence:
    return replace(healthy(), **looks)


def looks() -> Iterator[str]:
    """The names of everything that was looked at."""
    for field in fields(Evidence):
        if str(field.type).startswith("Look["):
            yield field.name


LOOKS = tuple(looks())


@pytest.mark.parametrize("name", [one for one in LOOKS if one not in ("passage", "after", "probed")])
@pytest.mark.parametrize("look", [Barred("get it"), Failed("no answer")], ids=["barred", "failed"])
def test_what_cannot_be_seen_is_unknown_and_nothing_is_wrong_for_it(name: str, look: Look[object]) -> None:
    evidence = changed(**{name: look})
    found = diagnose(evidence)
    states = {one.state for one in found.findings}
    assert State.UNKNOWN in states
    assert not states & {State.FAILURE, State.WARNING}
    assert any(
        one.state is State.UNKNOWN and ("you may not get it" in one.text or "no answer" in one.text)
        for one in found.findings
    )


def test_rights_that_nobody_may_ask_for_are_unknown() -> None:
    evidence = replace(healthy(), rights={one: Barred("create subjectaccessreviews") for one in needed()})
    unknown = [one for one in diagnose(evidence).findings if one.state is State.UNKNOWN]
    assert [one.name for one in unknown] == ["rights"]
    assert "create subjectaccessreviews" in unknown[0].text


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "metadata", "spec", "status", "webhooks", "name", "clientConfig", "service", "caBundle", "rules",
                "labels", "namespaceSelector", "endpoints", "ports", "conditions", "containers", "template",
                "replicas", "url",
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
DOCUMENT = st.dictionaries(
    st.sampled_from(["metadata", "spec", "status", "webhooks", "endpoints", "ports"]), ANYTHING, max_size=4
)
LISTS = ("pods", "slices", "mutating", "validating", "namespaces")
DOCUMENTS = (
    "system", "deployment", "service", "registration", "lease", "policy", "binding", "probed", *LISTS,
)  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_no_document_is_too_odd_to_judge(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(DOCUMENTS))
    found = data.draw(st.lists(DOCUMENT, max_size=2) if name in LISTS else DOCUMENT)
    evidence = changed(**{name: Seen(found)})
    diagnosis = diagnose(evidence)
    assert diagnosis.findings
    assert all(one.name in ORDER for one in diagnosis.findings)


@settings(deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from([None, Absent(), Barred("x"), Failed("y")]) for name in LOOKS}))
def test_whatever_is_missing_there_is_a_verdict(changes: dict[str, Look[object] | None]) -> None:
    found = diagnose(changed(**{name: look for name, look in changes.items() if look is not None}))
    assert (found.works is True) is (changes["probe"] is None)
    assert found.text
    order = [(list(State).index(one.state), not one.stops, ORDER.index(one.name)) for one in found.findings]
    assert order == sorted(order)
    # Whoever says that pods are not reviewed says why.
    assert found.works is not False or any(one.stops for one in found.findings)


def test_nothing_secret_is_kept() -> None:
    assert leaf().key_pem.decode() not in repr(healthy())
    assert VERSION in repr(healthy())
