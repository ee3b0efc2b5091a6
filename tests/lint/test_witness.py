"""Clashes: a pod that shows one is found where there is one, and what is proven impossible is not told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lint.trade import CACHE, manifests, policies, policy, problems
from webhook.admission import admit
from webhook.admission.decision import Facts
from webhook.cel import anatomy
from webhook.kube.review import for_pod
from webhook.kube.selector import LabelSelector
from webhook.lint.demands import choice, demands
from webhook.lint.meeting import meetings
from webhook.lint.trial import SETTINGS, decide
from webhook.policy.model import PolicySet

ONE, TWO = "env: [{name: X, value: '1'}]", "env: [{name: X, value: '2'}]"
TOLD = "which wins on pods that both match: "


def clash(first: str, second: str) -> str:
    """What is said of one clash, empty where nothing is."""
    text = "---\n".join([policy("a", first), policy("b", second), *([CACHE] if "cache: c" in first + second else [])])
    found = [each.message.partition(TOLD)[2] for each in problems(text) if each.code in {"W003", "W004"}]
    assert len(found) <= 1
    assert all(found)
    return found[0] if found else ""


def when(*expressions: str) -> str:
    listed = ", ".join(f'{{name: c{index}, expression: "{each}"}}' for index, each in enumerate(expressions))
    return f"matchConditions: [{listed}]"


def match(fields: str) -> str:
    return f"match: {{{fields}}}"


IMAGES = "object.spec.containers.exists(c, c.image.{})"
MODEL = "models: [{{name: m, source: {{{}}}, allow: ['s3://bucket/*'], cache: c, mountPath: /m}}]"
VOLUME = "volumes: [{volume: {name: v, emptyDir: {}}, mountPath: /m}]"


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (ONE, TWO, "asks for nvidia.com/gpu"),
        (f"{ONE}, {when(IMAGES.format('contains(`vllm`)'))}", TWO, "runs vllm"),
        (
            f"{ONE}, {when(IMAGES.format('contains(`zz`)'))}",
            f"{TWO}, {when(IMAGES.format('startsWith(`b/`)'))}",
            "runs zz and b/",
        ),
        (
            f"{ONE}, {when('object.metadata.labels[`k`] == `v`')}",
            f"{TWO}, {when('object.metadata.labels.k in [`u`, `v`]')}",
            "k=v",
        ),
        (
            f"{ONE}, {when('object.metadata.namespace in [`p`, `q`]')}",
            f"{TWO}, {when('object.metadata.namespace != `p`')}",
            "namespace q",
        ),
        (f"{ONE}, {when('object.spec.priority > 10')}", TWO, "asks for"),
        (f"{ONE}, {when('object.spec.priority < 10')}", TWO, "asks for"),
        (f"{ONE}, {when('`x/y` in object.metadata.annotations')}", TWO, "annotations x/y=example"),
        (f"{ONE}, {match('accelerators: [`*/gpu`]')}", f"{TWO}, {match('accelerators: [`amd.com/*`]')}", "amd.com/gpu"),
        (f"{ONE}, {match('accelerators: [gpu.nvidia.com]')}", TWO, "a device of its class"),
        (
            f"{ONE}, {match('accelerators: [`example.com/npu*`]')}",
            f"{TWO}, {match('accelerators: [`example.com/*`]')}",
            "example.com/npu",
        ),
        (
            f"{ONE}, {match('objectSelector: {matchExpressions: [{key: k, operator: In, values: [q, r]}]}')}",
            f"{TWO}, {match('objectSelector: {matchExpressions: [{key: k, operator: NotIn, values: [q]}]}')}",
            "labels k=r",
        ),
        (f"{ONE}, {match('namespaceSelector: {matchLabels: {team: x}}')}", TWO, "namespace default with team=x"),
        (MODEL.format("annotation: warmpod.dev/model"), VOLUME, "warmpod.dev/model=s3://bucket/model-1/"),
        (MODEL.format("env: MODEL"), VOLUME, "sets MODEL=s3://bucket/model-1/"),
        (VOLUME, MODEL.format("env: MODEL"), "sets MODEL=s3://bucket/model-1/"),
        (VOLUME, MODEL.format("arg: --model"), "arguments --model=s3://bucket/model-1/"),
        (
            MODEL.format("annotation: a"),
            MODEL.format("annotation: b"),
            "a=s3://bucket/model-1/, b=s3://bucket/model-2/",
        ),
    ],
)
def test_a_pod_is_found(first: str, second: str, shown: str) -> None:
    told = clash(first.replace("`", "'"), second.replace("`", "'"))
    assert told.startswith("for example a pod in ")
    assert shown in told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (when("object.metadata.labels['k'] == 'x'"), when("object.metadata.labels.k == 'y'")),
        (when("object.metadata.labels['k'] == 'x'"), match("objectSelector: {matchLabels: {k: y}}")),
        (when("request.namespace == 'x'"), when("request.namespace in ['y', 'z']")),
        (when("request.namespace == 'x'"), when("request.namespace.startsWith('y')")),
        (when("request.namespace.startsWith('x')"), when("request.namespace.startsWith('y')")),
        (when("has(object.spec.nodeName) && object.spec.nodeName == 'n'"), when("!has(object.spec.nodeName)")),
        (
            when("has(object.metadata.annotations) && 'k' in object.metadata.annotations"),
            when("!has(object.metadata.annotations) || !('k' in object.metadata.annotations)"),
        ),
        (when(IMAGES.format("contains('v')")), when(f"!{IMAGES.format('contains(`v`)')}".replace("`", "'"))),
        (
            match("objectSelector: {matchExpressions: [{key: k, operator: Exists}]}"),
            match("objectSelector: {matchExpressions: [{key: k, operator: DoesNotExist}]}"),
        ),
        (
            match("objectSelector: {matchExpressions: [{key: k, operator: In, values: [x, y]}]}"),
            match("objectSelector: {matchExpressions: [{key: k, operator: NotIn, values: [x, y]}]}"),
        ),
        (
            match("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}"),
            match("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}"),
        ),
        (match("accelerators: ['nvidia.com/*']"), match("accelerators: [amd.com/gpu]")),
    ],
)
def test_what_no_pod_can_do_is_not_told(first: str, second: str) -> None:
    assert clash(f"{ONE}, {first}", f"{TWO}, {second}") == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (when("object.metadata.name.matches('^x[0-9]+$')"), when("true")),
        (when("object.spec.containers.size() == 3"), when("true")),
    ],
)
def test_where_no_pod_is_found_it_says_so(first: str, second: str) -> None:
    assert clash(f"{ONE}, {first}", f"{TWO}, {second}") == "no such pod was found, but none is ruled out"


def test_a_real_pod_is_shown_rather_than_one_made_up() -> None:
    text = "---\n".join([policy("a", ONE), policy("b", TWO)])
    pods = manifests(
        "{kind: Pod, apiVersion: v1, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}\n---\n"
        "{kind: Pod, apiVersion: v1, metadata: {name: q}, spec: {containers: [{name: c, image: i, "
        "resources: {limits: {nvidia.com/gpu: '1'}}}]}}"
    )
    (found,) = problems(text, pods)
    assert found.message.endswith(f"{TOLD}for example pod 1")


def test_a_pod_that_sets_the_variable_itself_shows_nothing() -> None:
    pods = manifests(
        "{kind: Pod, apiVersion: v1, metadata: {name: q}, spec: {containers: [{name: c, image: i, "
        "env: [{name: X, value: '3'}], resources: {limits: {nvidia.com/gpu: '1'}}}]}}"
    )
    (found,) = problems("---\n".join([policy("a", ONE), policy("b", TWO)]), pods)
    assert "for example a pod in namespace default" in found.message


def test_of_many_clashes_only_some_are_searched() -> None:
    many = "---\n".join(policy(f"p{index}", f"env: [{{name: X, value: '{index}'}}]") for index in range(16))
    told = [each.message.partition(TOLD)[2] for each in problems(many)]
    assert len(told) == 16 * 15 // 2
    assert sum(each.startswith("for example") for each in told) == 64


CONDITIONS = [
    "object.metadata.labels['a'] == 'x'",
    "object.metadata.labels['a'] != 'x'",
    "has(object.metadata.labels) && object.metadata.labels.a in ['x', 'y']",
    "has(object.spec.nodeName)",
    "!has(object.spec.nodeName)",
    "object.spec == 'x'",
    "object.metadata.annotations == 'x'",
    "object.spec.containers.exists(c, c == 'x')",
    "object.spec.containers.exists(c, c.env.exists(e, e.value == 'x'))",
    "object.spec.containers.exists(c, c.resources.limits['memory'] == '1Gi')",
    "object.spec.containers.all(c, c.image.startsWith('a'))",
    "object.spec.initContainers.exists(c, c.name == 'i')",
    "object.spec.tolerations[0].key == 'k'",
    "object.spec.priority > 3 && object.spec.priority < 5",
    "request.namespace == 'x' || request.namespace == 'y'",
    "request.userInfo.username.startsWith('system:')",
    "oldObject == null",
    "namespaceObject.metadata.labels['t'] == 'x'",
    "object['metadata']['name'] == 'x'",
    "object.metadata.labels['a'] == 1",
    "true ? has(object.spec.nodeName) : false",
]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(CONDITIONS), max_size=4), st.lists(st.sampled_from(CONDITIONS), max_size=4))
def test_what_is_called_impossible_is_so_for_every_pod_made_up(first: list[str], second: list[str]) -> None:
    found = policies(policy("a", f"{ONE}, {when(*first)}"), policy("b", f"{TWO}, {when(*second)}"))
    apart = demands(found.policies)
    assert all(anatomy(text) for text in apart.texts)
    for single in found.policies:
        for meeting in meetings([single], demands([single])):
            decision = decide(found.policies, meeting.manifest, meeting.inventory)
            both = [each.result for each in decision.policies] == ["matched", "matched"]
            assert not (both and apart.contradict)


@given(st.lists(st.sampled_from([("In", "ab"), ("In", "b"), ("NotIn", "a"), ("Exists", ""), ("DoesNotExist", "")])))
def test_labels_are_chosen_where_there_are_any(requirements: list[tuple[str, str]]) -> None:
    selectors = [LabelSelector((), (("k", operator, frozenset(values)),)) for operator, values in requirements]
    chosen = choice(selectors)
    possible = [{}, {"k": "a"}, {"k": "b"}, {"k": "zz"}]
    assert (chosen is None) == (not any(all(each.matches(labels) for each in selectors) for labels in possible))
    assert chosen is None or all(each.matches(chosen) for each in selectors)


def test_a_trial_is_what_the_webhook_would_decide() -> None:
    found = policies(policy("a", f"mode: Enforce, {ONE}"))
    (manifest,) = manifests(
        "{kind: Pod, apiVersion: v1, metadata: {name: q}, spec: {containers: [{name: c, image: i, "
        "resources: {limits: {nvidia.com/gpu: '1'}}}]}}"
    )
    facts = Facts(policies=PolicySet(found.policies), settings=SETTINGS)
    assert decide(found.policies, manifest) == admit(for_pod(manifest.pod, namespace="serving"), facts)


def test_a_volume_wins_over_a_model_whatever_their_names() -> None:
    text = "---\n".join([policy("a", MODEL.format("env: MODEL")), policy("b", VOLUME), CACHE])
    (found,) = [each for each in problems(text) if each.code == "W003"]
    assert (found.line, found.path) == (4, "spec.models[0].mountPath")
    assert found.message.startswith('"/m" is mounted by policy b, which wins')
