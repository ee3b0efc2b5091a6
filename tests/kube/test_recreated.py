"""A live pod as it was sent: what clusters write into pods is taken out, and a second review decides as the first."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.kube import Object, names
from webhook.kube.recreated import recreated, was_changed

TOKEN = {"name": "kube-api-access-x7b2k", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
TOKEN_MOUNT = {
    "name": "kube-api-access-x7b2k",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}
FACTS = builders.facts()


def stored(pod: Object, **metadata: Any) -> Object:
    """The pod as an API server keeps it once it runs."""
    made = copy.deepcopy(pod)
    made["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-22T02:07:52Z",
        "generation": 1,
        "managedFields": [{"manager": "kubectl"}],
        **metadata,
    }
    spec = made["spec"]
    spec |= {
        "nodeName": "gpu-1",
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "serviceAccount": "default",
        "ephemeralContainers": [{"name": "debugger", "image": "busybox"}],
    }
    spec["tolerations"] = [
        *(spec.get("tolerations") or []),
        *(
            {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ),
    ]
    spec["volumes"] = [*(spec.get("volumes") or []), TOKEN]
    for one in spec["containers"]:
        one["volumeMounts"] = [*(one.get("volumeMounts") or []), TOKEN_MOUNT]
    made["status"] = {"phase": "Running"}
    return made


def test_what_the_cluster_wrote_is_gone() -> None:
    sent = builders.gpu_pod(args=["--model", "/models"], volumeMounts=[{"name": "data", "mountPath": "/data"}])
    sent["spec"]["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    live = stored(sent)
    kept = copy.deepcopy(live)
    assert recreated(live) == sent
    assert live == kept


@pytest.mark.parametrize("model", ["s3://acme-models/llama", "file:///fsx/models/llama"])
def test_what_warmpod_wrote_is_gone_and_words_name_the_source_again(model: str) -> None:
    sent = builders.gpu_pod(
        model, args=["serve", f"--model={model}", "--name", "llama"], env=[{"name": "MODEL_ID", "value": model}]
    )
    rule: Object = {"allow": [f"{model}*"]}
    if model.startswith("file"):
        rule["sourceVolume"] = {
            "volume": {"name": "fsx", "persistentVolumeClaim": {"claimName": "fsx"}},
            "mountPath": "/fsx",
        }
    facts = builders.facts(builders.tuned(rule, {}))
    after = admit(builders.request(sent), facts).pod
    assert after is not None
    assert "s3://acme" not in json.dumps(after["spec"]["containers"])
    back = recreated(stored(after))
    if model.startswith("file"):
        assert back["spec"].pop("volumes") == [rule["sourceVolume"]["volume"]]
    assert back == sent


def test_a_model_that_is_an_image_is_gone_and_words_name_it_again() -> None:
    model = "oci://ghcr.io/acme/llama:v1"
    sent = builders.gpu_pod(model, args=["serve", f"--model={model}"], env=[{"name": "MODEL_ID", "value": model}])
    sent["spec"]["volumes"] = [{"name": "data", "image": {"reference": "ghcr.io/acme/data:v1"}}]
    facts = builders.facts(builders.tuned({"allow": ["oci://ghcr.io/acme/*"]}, {}), image_volumes="on")
    after = admit(builders.request(sent), facts).pod
    assert after is not None
    assert "oci://" not in json.dumps(after["spec"])
    assert len(after["spec"]["volumes"]) == 2
    assert recreated(stored(after)) == sent


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({"name": "llm-abcde", "generateName": "llm-"}, False),
        ({"name": "llm-0", "generateName": "llm-"}, True),
        ({"name": "llm-abcde", "generateName": "llm-", "ownerReferences": [{"kind": "StatefulSet"}]}, True),
        ({"name": "llm-abcde"}, True),
    ],
    ids=["generated", "short", "stateful", "given"],
)
def test_a_name_that_the_api_server_made_up_was_not_sent(metadata: Object, kept: bool) -> None:
    assert ("name" in recreated(stored(builders.gpu_pod(), **metadata))["metadata"]) is kept


def test_without_a_trace_of_warmpod_what_bears_our_names_is_the_authors() -> None:
    sent = builders.gpu_pod(env=[{"name": "AWS_CONFIG_FILE", "value": names.AWS_CONFIG_FILE}])
    sent["spec"]["volumes"] = [{"name": "warmpod-cache-nvme", "emptyDir": {}}]
    assert not was_changed(sent)
    assert recreated(stored(sent)) == sent


def test_required_terms_of_ours_go_and_the_authors_stay() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    text = "  acknowledge: [RequireBlocksScaleFromZero]\n  images: {placement: Require}\n"
    facts = builders.facts(builders.policy(text))
    own = [
        {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]},
    ]
    for terms in ([], own):
        sent = builders.gpu_pod()
        if terms:
            sent["spec"]["affinity"] = {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}
        after = admit(builders.request(sent), facts).pod
        assert after != sent
        assert recreated(stored(after or {})) == sent


def _sorted(pod: Object) -> str:
    """The pod without the order in which things were added to it, and without what a server adds."""
    made = copy.deepcopy({key: value for key, value in pod.items() if key != "status"})
    annotations = made["metadata"].get("annotations") or {}
    # A second review that finds all that policies name themselves has nothing left to sign.
    made["metadata"] = {
        key: value for key, value in made["metadata"].items() if key not in ("managedFields", "annotations")
    } | {"annotations": {key: value for key, value in annotations.items() if key != names.ANNOTATION_DECISION}}
    for field in ("containers", "initContainers"):
        for one in made["spec"].get(field) or ():
            for inner in ("env", "volumeMounts"):
                one[inner] = sorted(one.get(inner) or [], key=str)
    made["spec"]["volumes"] = sorted(made["spec"].get("volumes") or [], key=str)
    return json.dumps(made, sort_keys=True)


@settings(max_examples=40, deadline=None)
@given(strategies.sound_pods())
def test_a_second_review_of_what_was_sent_decides_as_the_first(sent: Object) -> None:
    assume("warmpod" not in json.dumps(sent["spec"]))  # the author has nothing under our names
    assume("nodeName" not in sent["spec"])  # who named it, author or scheduler, a live pod does not tell
    after = admit(builders.request(sent), FACTS).pod
    assume(after is not None and after != sent)
    again = admit(builders.request(recreated(after or {})), FACTS).pod
    assert _sorted(again or {}) == _sorted(after or {})


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "env", "args", "name", "volumes", "affinity", "value"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _JUNK))
def test_garbage_stays_garbage(pod: Object) -> None:
    before = copy.deepcopy(pod)
    recreated(pod)
    recreated({**pod, "metadata": {"annotations": {names.ANNOTATION_DECISION: "x"}}})
    assert pod == before
