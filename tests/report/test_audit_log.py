"""What an event of the API server's audit log says of a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.events import AUDIT_WEBHOOK, WEBHOOK, asked, event, told
from webhook.kube.owner import Owner
from webhook.policy.model import Mode
from webhook.report.audit_log import UnreadableEvent, of_event
from webhook.report.judgement import Effect

REFERENCE = {"resource": "pods", "namespace": "serving", "apiVersion": "v1"}
CHANGED = {"enforced": "a,b", "operations": "9", "changes": "placement,env", "seconds": "128"}
DENIED = {
    "code": 403,
    "message": f'admission webhook "{WEBHOOK}" denied the request: policy p could not judge this pod and says '
    "failurePolicy: Fail: condition c: no such key: x",
}


def test_a_change_is_read_with_its_policies_parts_and_seconds() -> None:
    found = of_event(event(told(**CHANGED)))
    assert found is not None
    assert found.namespace == "serving"
    assert found.time == pytest.approx(1769860800.747675)
    assert found.done == Effect(("placement", "env"), 9, 128.0)
    assert found.would is None
    assert [(one.name, one.mode, one.result) for one in found.verdicts] == [
        ("a", Mode.ENFORCE, "matched"),
        ("b", Mode.ENFORCE, "matched"),
    ]
    assert found.blind


def test_what_was_withheld_is_read_and_only_where_it_is_more() -> None:
    audited = {"audited": "c", "would_operations": "9", "would_changes": "placement,env", "would_seconds": "128"}
    found = of_event(event(told(AUDIT_WEBHOOK, **audited)))
    assert found is not None
    assert (found.done, found.would) == (None, Effect(("placement", "env"), 9, 128.0))
    assert [(one.name, one.mode) for one in found.verdicts] == [("c", Mode.AUDIT)]
    same = of_event(event(told(**CHANGED, **audited)))
    assert same is not None
    assert same.would is None, "the policy in Audit would add nothing to what was done"
    more = of_event(event(told(**CHANGED, **{**audited, "would_seconds": "200"})))
    assert more is not None
    assert more.would == Effect(("placement", "env"), 9, 200.0)


def test_errors_conflicts_and_violations_are_read() -> None:
    found = of_event(event(told(errored="p", conflicts="3", violations="reach: x; audit: validity: y")))
    assert found is not None
    assert [(one.name, one.result) for one in found.verdicts] == [("p", "errored")]
    assert found.clashes == 3
    assert found.violations == ("reach: x", "audit: validity: y")


def test_a_pod_that_nothing_was_done_to_counts_as_looked_at() -> None:
    found = of_event(event(asked()))
    assert found is not None
    assert (found.done, found.would, found.verdicts, found.unanswered) == (None, None, (), False)


def test_no_answer_is_told() -> None:
    found = of_event(
        event({"failed-open.mutation.webhook.admission.k8s.io/round_0_index_0": WEBHOOK}, responseStatus={"code": 201})
    )
    assert found is not None
    assert found.unanswered


def test_a_denial_of_ours_is_told_with_its_reason() -> None:
    found = of_event(event(asked(), responseStatus=DENIED))
    assert found is not None
    assert found.denial.startswith("policy p could not judge this pod")


@pytest.mark.parametrize(
    ("pod", "name", "owner"),
    [
        (None, "bare", Owner("Pod", "bare")),
        (None, "", Owner("Pod", "(unnamed)")),
        ({"metadata": {"generateName": "gen-"}}, "", Owner("Pod", "gen-*")),
        (
            {
                "metadata": {
                    "generateName": "vllm-99c97fcf4-",
                    "labels": {"pod-template-hash": "99c97fcf4"},
                    "ownerReferences": [{"kind": "ReplicaSet", "name": "vllm-99c97fcf4", "controller": True}],
                }
            },
            "",
            Owner("Deployment", "vllm"),
        ),
        ([], "x", Owner("Pod", "x")),
    ],
    ids=["metadata", "metadata-generated", "generated", "deployment", "no-object"],
)
def test_the_workload_is_named_as_far_as_the_event_goes(pod: Any, name: str, owner: Owner) -> None:
    found = of_event(event(asked(), pod, objectRef={**REFERENCE, "name": name}))
    assert found is not None
    assert found.owner == owner


@pytest.mark.parametrize(
    "fields",
    [
        {"requestURI": "/api/v1/namespaces/serving/pods?dryRun=All"},
        {"requestURI": "/api/v1/namespaces/serving/pods?fieldManager=x&dryRun=All"},
        {"stage": "RequestReceived"},
        {"verb": "update"},
        {"objectRef": {**REFERENCE, "subresource": "binding"}},
        {"objectRef": {"resource": "nodes"}},
        {"objectRef": None},
        {"responseStatus": {"code": 409}},
        {"responseStatus": {"code": 403, "message": 'admission webhook "other.example" denied the request: no'}},
        {"responseStatus": None},
        {"annotations": {}},
        {"annotations": {"other.example/enforced": "a"}},
        {"annotations": None},
    ],
    ids=str,
)
def test_what_is_no_creation_of_a_pod_that_we_were_asked_about_is_none(fields: dict[str, Any]) -> None:
    annotations = fields.pop("annotations", told(**CHANGED))
    assert of_event(event(told(**CHANGED))) is not None, "the event counts but for the fields"
    line = event(annotations or {}, **fields)
    assert of_event(line) is None


def test_half_a_name_that_the_webhook_cut_is_no_policy() -> None:
    names = ",".join(f"policy-{number:04}" for number in range(200))[:1024]
    assert not names.endswith(",")
    found = of_event(event(told(enforced=names)))
    assert found is not None
    assert {len(one.name) for one in found.verdicts} == {11}


@pytest.mark.parametrize("value", ["x", "-1", "1e9", "9" * 400, "\u0663", ""])
def test_numbers_that_are_none_count_as_nothing(value: str) -> None:
    found = of_event(event(told(enforced="a", operations="2", seconds=value, conflicts=value)))
    assert found is not None
    assert found.done == Effect((), 2, 0.0)
    assert found.conflicts == 0


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b'{"kind":"Event"}', b'{"kind":"Pod","apiVersion":"v1"}', b"\xff\xfe", b"[" * 5000],
    ids=repr,
)
def test_foreign_lines_are_refused(line: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        of_event(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        ["objectRef", "responseStatus", "annotations", "requestObject", "requestReceivedTimestamp", "verb"]
    ),
)
def test_whatever_stands_in_a_field_it_is_read_or_refused(value: Any, field: str) -> None:
    document = json.loads(event(told(**CHANGED)))
    document[field] = value
    try:
        of_event(json.dumps(document, separators=(",", ":")).encode())
    except UnreadableEvent:
        return
