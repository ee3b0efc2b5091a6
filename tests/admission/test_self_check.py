"""Each law, broken on purpose: the self-check must see it, or it checks nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests import builders
from webhook.admission import admit, laws
from webhook.kube import Object, names, patch
from webhook.kube.podsecurity import Level
from webhook.mutate.load import Site

SENT = builders.edited(
    builders.gpu_pod(args=["--model", "s3://acme-models/llama/"], env=[{"name": "A", "value": "a"}]),
    volumes=[{"name": "data", "emptyDir": {}}],
    initContainers=[{"name": "prepare", "image": "x"}],
    affinity={
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, {}]
            }
        }
    },
)
WANTED: Object = admit(builders.request(SENT), builders.facts()).pod or {}


def change(wanted: Object, *, level: Level = Level.PRIVILEGED, operations: Any = None) -> laws.Change:
    found = patch.diff(SENT, wanted) if operations is None else operations
    return laws.Change(SENT, wanted, found, frozenset({"/models"}), Site("default", level, builders.HYDRATOR))


def broken(edit: Callable[[Object], Any], level: Level = Level.PRIVILEGED) -> tuple[str, ...]:
    wanted = copy.deepcopy(WANTED)
    edit(wanted)
    return laws.broken(change(wanted, level=level), lambda pod: pod)


def test_a_sound_change_leaves() -> None:
    assert broken(lambda _: None) == ()


def _hydrator(pod: Object) -> Object:
    return next(c for c in pod["spec"]["initContainers"] if c["name"] == names.INIT_CONTAINER)


def _vllm(pod: Object) -> Object:
    return pod["spec"]["containers"][0]  # type: ignore[no-any-return]  # a pod's parts are Any


def _node(pod: Object) -> Object:
    return pod["spec"]["affinity"]["nodeAffinity"]  # type: ignore[no-any-return]  # a pod's parts are Any


def _terms(pod: Object) -> list[Object]:
    return _node(pod)["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]  # type: ignore[no-any-return]  # a pod's parts are Any


def _preferred(pod: Object) -> list[Object]:
    return _node(pod)["preferredDuringSchedulingIgnoredDuringExecution"]  # type: ignore[no-any-return]  # a pod's parts are Any


@pytest.mark.parametrize(
    ("edit", "law"),
    [
        pytest.param(lambda p: p.update(status={"phase": "Failed"}), "reach: status", id="status"),
        pytest.param(lambda p: p["metadata"].update(labels={"a": "b"}), "reach: metadata.labels", id="labels"),
        pytest.param(lambda p: p["metadata"]["annotations"].update(x="y"), "reach: an annotation", id="annotation"),
        pytest.param(
            lambda p: p["metadata"]["annotations"].update({names.ANNOTATION_MODEL: "x"}),
            "reach: an annotation",
            id="author's annotation",
        ),
        pytest.param(
            lambda p: p["metadata"]["annotations"].update({names.ANNOTATION_DECISION: "x" * 300_000}),
            "validity: the annotations are too large",
            id="too large",
        ),
        pytest.param(lambda p: p["spec"].update(hostNetwork=True), "reach: spec.hostNetwork", id="spec"),
        pytest.param(lambda p: p["spec"]["containers"].pop(), "reach: spec.containers lost", id="container gone"),
        pytest.param(
            lambda p: p["spec"]["containers"].append({"name": "x"}), "reach: spec.containers lost", id="container added"
        ),
        pytest.param(
            lambda p: p["spec"]["initContainers"].append({"name": "x"}), "reach: spec.initContainers", id="init added"
        ),
        pytest.param(lambda p: _vllm(p).update(image="evil"), "reach: image of container vllm", id="image"),
        pytest.param(lambda p: _vllm(p)["args"].__setitem__(1, "/etc"), "reach: args", id="argument"),
        pytest.param(lambda p: _vllm(p)["args"].append("x"), "reach: args", id="argument added"),
        pytest.param(lambda p: _vllm(p)["env"].__setitem__(0, {"name": "A", "value": "b"}), "reach: env A", id="env"),
        pytest.param(lambda p: _vllm(p)["env"].pop(0), "reach: env", id="env lost"),
        pytest.param(lambda p: _vllm(p)["env"].append({"name": "A", "value": "b"}), "validity: env", id="env twice"),
        pytest.param(lambda p: _vllm(p)["env"].append({"name": "N"}), "validity: env", id="env without value"),
        pytest.param(
            lambda p: _vllm(p)["volumeMounts"].append({"name": "no", "mountPath": "/x"}), "validity", id="no volume"
        ),
        pytest.param(
            lambda p: _vllm(p)["volumeMounts"].append({"name": "data", "mountPath": "/models"}),
            "validity",
            id="a path twice",
        ),
        pytest.param(
            lambda p: _vllm(p)["volumeMounts"].append({"name": "data", "mountPath": "/x", "subPath": "a/../.."}),
            "leaves its volume",
            id="out of the volume",
        ),
        pytest.param(
            lambda p: _vllm(p)["volumeMounts"].append({"name": "warmpod-cache-nvme", "mountPath": "/x"}),
            "a volume of ours that it could write to",
            id="a cache to write to",
        ),
        pytest.param(lambda p: p["spec"]["volumes"].pop(0), "reach: spec.volumes", id="volume lost"),
        pytest.param(
            lambda p: p["spec"]["volumes"].append({"name": "data", "hostPath": {}}), "validity", id="volume twice"
        ),
        pytest.param(
            lambda p: p["spec"]["volumes"].append({"name": "n", "emptyDir": {}, "nfs": {}}),
            "validity: an added volume",
            id="volume of two sources",
        ),
        pytest.param(lambda p: _terms(p).append({"matchExpressions": [{}]}), "narrowing", id="a term added"),
        pytest.param(lambda p: _terms(p).pop(), "narrowing", id="a term lost"),
        pytest.param(
            lambda p: _terms(p)[1].update(matchExpressions=[{"key": "a", "operator": "Exists"}]),
            "narrowing: a term that selects nothing",
            id="an empty term filled",
        ),
        pytest.param(
            lambda p: _terms(p)[0].update(matchExpressions=[]), "narrowing: a required term lost", id="term emptied"
        ),
        pytest.param(
            lambda p: _node(p).pop("requiredDuringSchedulingIgnoredDuringExecution"), "narrowing", id="unbound"
        ),
        pytest.param(lambda p: p["spec"]["affinity"].update(podAffinity={}), "reach: affinity", id="pod affinity"),
        pytest.param(lambda p: _preferred(p)[0].update(weight=0), "weight", id="weight"),
        pytest.param(lambda p: _preferred(p).append(_preferred(p)[0]), "placement", id="three terms"),
        pytest.param(
            lambda p: _hydrator(p)["resources"]["requests"].update(cpu="99"), "resources", id="more than the app asks"
        ),
        pytest.param(lambda p: _hydrator(p).pop("resources"), "resources", id="less than the app asks"),
        pytest.param(
            lambda p: (
                _hydrator(p)["volumeMounts"].clear()
                or _hydrator(p)["volumeMounts"].append({"name": "no", "mountPath": "/x"})
            ),
            "validity",
            id="init mount",
        ),
    ],
)
def test_each_law_is_seen_to_break(edit: Callable[[Object], Any], law: str) -> None:
    found = broken(edit)
    assert any(law in text for text in found), found


def test_pod_security() -> None:
    assert any("PodSecurity baseline" in text for text in broken(lambda _: None, Level.BASELINE))


def test_a_patch_that_gives_something_else() -> None:
    found = laws.broken(change(WANTED, operations=[]), lambda pod: pod)
    assert found == ("patch: it gives another pod than the one wanted",)


def test_a_patch_that_does_not_apply() -> None:
    operations = [{"op": "add", "path": "/spec/containers/7/env", "value": []}]
    (found,) = laws.broken(change(WANTED, operations=operations), lambda pod: pod)
    assert found.startswith("patch: it does not apply")


def test_a_pod_that_would_change_again() -> None:
    assert laws.broken(change(WANTED), dict) == ("idempotence: a second review would change the pod again",)


def test_what_breaks_a_law_is_dropped_and_the_pod_starts_as_it_was() -> None:
    """A condition that our own edit makes true can fight another policy: the second review would change the pod."""
    second = builders.policy(
        """
  matchConditions: [{name: prepared, expression: "has(object.spec.volumes)"}]
  env: [{name: LATE, value: x}]
""",
        name="second",
    )
    first = builders.policy("  volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /v}]", name="first")
    facts = builders.facts(first, second)
    decision = admit(builders.request(builders.gpu_pod()), facts)
    assert decision.allowed
    assert decision.patch == []
    assert decision.pod == builders.gpu_pod()
    assert decision.seconds_saved == 0
    assert decision.violations == ("idempotence: a second review would change the pod again",)
    (warning,) = decision.warnings
    assert warning == (
        "warmpod: the pod starts as it was sent, because its patch broke a law of ours: "
        "idempotence: a second review would change the pod again"
    )
    assert decision.audit_annotations["violations"] == decision.violations[0]
    assert admit(builders.request(builders.gpu_pod()), builders.facts(first)).patch


def test_in_audit_a_broken_law_is_told_and_warns_nobody() -> None:
    looping = builders.policy(
        """
  matchConditions: [{name: untouched, expression: "!has(object.spec.volumes) || object.spec.volumes.size() == 1"}]
  volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /v}]
""",
        name="a",
        mode="Audit",
    )
    late = builders.policy(
        """
  matchConditions: [{name: prepared, expression: "has(object.spec.volumes)"}]
  env: [{name: LATE, value: x}]
""",
        name="b",
        mode="Audit",
    )
    decision = admit(builders.request(builders.gpu_pod()), builders.facts(looping, late))
    assert decision.warnings == ()
    assert decision.would_patch == []
    assert decision.violations == ("audit: idempotence: a second review would change the pod again",)
