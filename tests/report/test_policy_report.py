"""Reports of policies: what each outcome is called, what is kept from before, and how large a report can be."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.builders import PRIVILEGED, facts, gpu_pod, inventory, policy
from tests.report.judgements import audited, effect, judged, verdict
from webhook.admission.decision import Facts
from webhook.kube import Object
from webhook.policy.model import Mode
from webhook.report import policy_report
from webhook.report.judgement import Judgement
from webhook.report.policy_report import MOST_BYTES, MOST_RESULTS, Results
from webhook.report.workload import judgements

NOW = 1_795_313_272
STRICT = """
  failurePolicy: Fail
  matchConditions: [{name: team, expression: "object.metadata.annotations['team'] == 'ml'"}]
  env: [{name: A, value: b}]
"""
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llama", "namespace": "serving"},
}
OWNER: Object = {"apiVersion": "v1", "kind": "Namespace", "name": "warmpod-system", "uid": "u"}


def known(*texts: str) -> Facts:
    return facts(*texts, inventory=inventory(namespaces={"serving": PRIVILEGED}))


def deployment(name: str = "llama", pod: Object | None = None, replicas: int = 2) -> Object:
    template = pod or gpu_pod()
    metadata = {"annotations": template["metadata"].get("annotations", {})}
    spec = {"replicas": replicas, "template": {"metadata": metadata, "spec": template["spec"]}}
    return {**DEPLOYMENT, "metadata": {"name": name, "namespace": "serving"}, "spec": spec}


def reported(now: Facts, *documents: Object, cap: Mode = Mode.ENFORCE, strict: tuple[str, ...] = ()) -> Results:
    results = Results(strict)
    for document in documents:
        for judgement in judgements(document, now, cap):
            results.add(judgement, document)
    return results


def counted(*found: Judgement, document: Object = DEPLOYMENT, strict: tuple[str, ...] = ()) -> Results:
    results = Results(strict)
    for judgement in found:
        results.add(judgement, document)
    return results


def only(results: Results) -> Object:
    [one] = results.sections("serving", NOW)["results"]
    found: Object = one
    return found


def test_a_policy_in_enforce_passes_and_says_what_it_changes() -> None:
    found = reported(known(policy()), deployment(replicas=7)).sections("serving", NOW)
    [one] = found["results"]
    assert one["message"].startswith("changes placement, hydration, volumes, env, awsConfig: prefers warm nodes by ")
    assert "would" not in one["message"]
    seconds = one["properties"].pop("secondsSaved")
    assert int(seconds) > 100
    assert f"saves {seconds} s of a pod's start" in one["message"]
    del one["message"]
    assert one == {
        "source": "warmpod",
        "policy": "llm-serving",
        "rule": "placement,hydration,volumes,env,awsConfig",
        "category": "Warm start",
        "result": "pass",
        "scored": False,
        "resources": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama", "namespace": "serving"}],
        "properties": {"mode": "Enforce", "pods": "7", "conflicts": "0"},
        "timestamp": {"seconds": NOW, "nanos": 0},
    }
    assert found["summary"] == {"pass": 1, "fail": 0, "warn": 0, "error": 0, "skip": 0}


def test_a_policy_in_audit_warns_of_what_it_would_change() -> None:
    one = only(reported(known(policy(mode="Audit")), deployment()))
    assert (one["result"], one["severity"], one["properties"]["mode"]) == ("warn", "low", "Audit")
    assert one["message"].startswith("would change placement, ")
    assert " would save " in one["message"]


def test_where_the_installation_audits_nothing_passes() -> None:
    one = only(reported(known(policy()), deployment(), cap=Mode.AUDIT))
    assert (one["result"], one["properties"]["mode"]) == ("warn", "Audit")


@pytest.mark.parametrize("mode", ["Enforce", "Audit"])
def test_a_pod_that_is_as_a_policy_wants_it_passes(mode: str) -> None:
    pod = gpu_pod(env=[{"name": "A", "value": "mine"}])
    one = only(reported(known(policy("  env: [{name: A, value: b}]", mode=mode)), deployment(pod=pod)))
    assert one["result"] == "pass"
    assert one["message"] == "is for these pods, and has nothing to change"
    assert "rule" not in one
    assert one["properties"]["secondsSaved"] == "0"


def test_a_conflict_is_a_warning_in_any_mode() -> None:
    one = only(
        counted(judged(verdict(conflicts=("env 'SECRET' has the value 'x'",), did=("placement",)), done=effect()))
    )
    assert (one["result"], one["severity"]) == ("warn", "medium")
    assert one["message"] == (
        'changes placement: prefers warm nodes; saves 60 s of a pod\'s start; left out: env "..." has the value "..."'
    )
    assert one["properties"]["conflicts"] == "1"


@pytest.mark.parametrize(
    ("mode", "strict", "outcome", "said"),
    [
        ("Enforce", ("llm-serving",), "fail", "pods are denied, by failurePolicy: Fail: the policy could not judge"),
        ("Enforce", (), "error", "could not judge these pods: "),
        ("Audit", ("llm-serving",), "error", "could not judge these pods: "),
    ],
    ids=["denied", "another-denies", "in-audit"],
)
def test_a_policy_that_cannot_judge(mode: str, strict: tuple[str, ...], outcome: str, said: str) -> None:
    one = only(reported(known(policy(STRICT, mode=mode)), deployment(), strict=strict))
    assert one["result"] == outcome
    assert one["message"].startswith(said)


def test_of_a_denied_pod_nothing_else_is_told() -> None:
    now = known(policy(STRICT, name="strict"), policy(name="other"))
    results = reported(now, deployment(), strict=("strict",)).sections("serving", NOW)
    assert [one["policy"] for one in results["results"]] == ["strict"]


@pytest.mark.parametrize(("prefix", "policies"), [("", ["p"]), ("audit: ", ["q"])], ids=["enforced", "audited"])
def test_a_law_that_would_be_broken_is_an_error_of_those_it_concerns(prefix: str, policies: list[str]) -> None:
    broken = judged(verdict("p"), audited("q"), violations=(f"{prefix}never removes 'x'",))
    found = counted(broken).sections("serving", NOW)["results"]
    errors = [one for one in found if one["result"] == "error"]
    assert [one["policy"] for one in errors] == policies
    assert "never removes" in errors[0]["message"]
    assert "'x'" not in errors[0]["message"]


def test_who_skips_is_counted_and_not_listed() -> None:
    other = verdict("other", result="skipped")
    results = counted(judged(verdict(did=("placement",)), other, done=effect()), judged(other))
    found = results.sections("serving", NOW)
    assert found["summary"]["skip"] == 1, "of one workload, told twice"
    assert len(found["results"]) == 1
    assert counted(judged(other)).namespaces() == [], "a namespace in which every policy skips has no report"


def test_two_policies_share_a_change_and_each_says_its_own() -> None:
    both = judged(verdict("a", did=("env",)), verdict("b", did=("placement",)), done=effect(60, "placement", "env"))
    first, second = counted(both).sections("serving", NOW)["results"]
    assert (first["rule"], first["properties"]["secondsSaved"]) == ("env", "0")
    assert (second["rule"], second["properties"]["secondsSaved"]) == ("placement", "60")
    assert first["message"] == "changes env"


def test_pods_of_an_operator_are_one_resource() -> None:
    documents = []
    for number in range(3):
        made_by = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "ray", "uid": "r", "controller": True}
        pod = gpu_pod()
        metadata = {**pod["metadata"], "name": f"ray-{number}", "namespace": "serving", "ownerReferences": [made_by]}
        documents.append({**pod, "metadata": metadata})
    one = only(reported(known(policy()), *documents))
    assert one["resources"] == [
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "ray", "namespace": "serving"}
    ]
    assert one["properties"]["pods"] == "3"


def test_a_pod_of_nobody_is_its_own_resource() -> None:
    pod = {**gpu_pod(), "metadata": {**gpu_pod()["metadata"], "name": "bare", "namespace": "serving"}}
    one = only(reported(known(policy()), pod))
    assert one["resources"] == [{"apiVersion": "v1", "kind": "Pod", "name": "bare", "namespace": "serving"}]


def test_no_value_of_a_pod_is_told() -> None:
    secret = "hunter2-9f3c"
    pod = gpu_pod(env=[{"name": "NCCL_DEBUG", "value": secret}, {"name": "AWS_RETRY_MODE", "value": secret}])
    pod["metadata"]["annotations"]["team"] = secret
    failing = policy(
        "  matchConditions: [{name: n, expression: \"int(object.metadata.annotations['team']) > 1\"}]", name="f"
    )
    found = reported(known(policy(), failing), deployment(pod=pod)).sections("serving", NOW)
    assert {one["result"] for one in found["results"]} == {"pass", "error"}
    assert secret not in json.dumps(found)


def test_an_unchanged_result_keeps_its_time_and_a_new_one_has_its_own() -> None:
    now = known(policy())
    first = reported(now, deployment("a")).sections("serving", NOW)
    later = reported(now, deployment("a"), deployment("b")).sections("serving", NOW + 300, first)
    assert [one["timestamp"]["seconds"] for one in later["results"]] == [NOW, NOW + 300]
    grown = reported(now, deployment("a", replicas=9)).sections("serving", NOW + 600, later)
    assert [one["timestamp"]["seconds"] for one in grown["results"]] == [NOW + 600]


def test_the_gravest_come_first_and_the_rest_is_counted() -> None:
    many = [judged(verdict(did=("placement",)), name=f"w-{number}", done=effect()) for number in range(5000)]
    bad = judged(verdict("strict", result="errored"), name="zz", denial="no")
    results = Results(("strict",))
    for judgement in (*many, bad):
        results.add(judgement, {**DEPLOYMENT, "metadata": {"name": judgement.owner.name}})
    found = results.sections("serving", NOW)
    assert len(found["results"]) == MOST_RESULTS
    assert found["results"][0]["result"] == "fail"
    assert found["results"][-1]["message"].endswith("(4501 more results have no room in this report)")
    assert found["summary"] == {"pass": 5000, "fail": 1, "warn": 0, "error": 0, "skip": 0}
    assert len(json.dumps(found)) < MOST_BYTES * 1.2
    again = results.sections("serving", NOW + 300, found)
    assert again == found, "the count of the rest does not make a result another one"


def test_long_reasons_do_not_make_a_report_that_etcd_refuses() -> None:
    reason = "\N{PILE OF POO}" * 10_000
    many = [judged(verdict("p" * 253, result="errored", reason=reason), name=f"{n:0>250}") for n in range(2000)]
    results = Results()
    for judgement in many:
        results.add(judgement, {**DEPLOYMENT, "metadata": {"name": judgement.owner.name}})
    found = results.sections("serving", NOW)
    assert len(json.dumps(found)) < MOST_BYTES * 1.2
    assert 0 < len(found["results"]) < MOST_RESULTS
    assert "more results" in found["results"][-1]["message"]
    assert found["summary"]["error"] == 2000


def test_order_does_not_depend_on_the_order_of_workloads() -> None:
    documents = [deployment(name) for name in "cab"]
    now = known(policy(), policy("  env: [{name: A, value: b}]", name="b", mode="Audit"))
    one, two = (reported(now, *some).sections("serving", NOW) for some in (documents, reversed(documents)))
    assert one == two
    assert Counter(each["result"] for each in one["results"]) == {"pass": 3, "warn": 3}


@pytest.mark.parametrize(
    "hostile", [None, [], "x", {"results": "x"}, {"results": [None, 7, {"timestamp": "x"}]}, {"metadata": []}], ids=str
)
def test_a_report_that_somebody_broke_is_no_obstacle(hostile: Any) -> None:
    before = hostile if isinstance(hostile, dict) else {}
    sections = reported(known(policy()), deployment()).sections("serving", NOW, before)
    assert not policy_report.is_ours(before)
    assert not policy_report.same(sections, OWNER, before)


def test_what_others_add_to_a_report_stays() -> None:
    sections = reported(known(policy()), deployment()).sections("serving", NOW)
    wanted = policy_report.document("openreports.io/v1alpha1", "Report", "serving", sections, OWNER)
    assert wanted["metadata"]["name"] == "warmpod"
    theirs = {"uid": "x", "kind": "Team"}
    metadata = {
        **wanted["metadata"],
        "resourceVersion": "7",
        "labels": {**wanted["metadata"]["labels"], "team": "a"},
        "annotations": {"seen": "yes"},
        "ownerReferences": [theirs, {**OWNER, "name": "old"}],
        "managedFields": [{}],
    }
    stored = {**wanted, "metadata": metadata}
    assert policy_report.is_ours(stored)
    assert policy_report.same(sections, OWNER, stored)
    made = policy_report.over(stored, wanted)["metadata"]
    assert made == {**{k: v for k, v in metadata.items() if k != "managedFields"}, "ownerReferences": [theirs, OWNER]}
    assert not policy_report.is_ours({"metadata": {"name": "warmpod", "labels": {"app": "x"}}})


def test_names_that_mean_something_elsewhere_are_only_names() -> None:
    name = "</script>\x1b[31m|`x`"
    one = only(counted(judged(verdict(name, did=("env",)), name=name, done=effect()), document={"kind": 7}))
    assert one["policy"] == name
    assert one["resources"][0]["apiVersion"] == "v1"
    assert json.loads(json.dumps(one)) == one
