from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.blindness import Blindness, of_expression
from webhook.admission.scene import lean
from webhook.cel import Activation, Bindings, FailedEvaluation, environment
from webhook.kube import Object

BLIND = (
    "true",
    "request.operation == 'CREATE'",
    "object.spec.containers.exists(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits)",
    "object.spec.containers.all(c, !c.image.endsWith('-debug'))",
    "!(has(object.metadata.name) && object.metadata.name.startsWith('jupyter-'))",
    "!has(object.metadata.labels) || !('cold' in object.metadata.labels)",
    "object.spec.containers[0].image.contains('vllm')",
    "object.spec.containers.map(c, c.image).size() > 0",
    "object.spec.containers.size() == 1",
    'variables.x == 1 ? inventory.nodes > 2 : object.spec.nodeName == "a"',
    "namespaceObject.metadata.name == 'x'",
)
WITH_ANNOTATIONS = (
    "has(object.metadata.annotations)",
    "has(object.metadata.annotations) && 'warmpod.dev/model' in object.metadata.annotations",
    "object.metadata.annotations['warmpod.dev/model'].startsWith('s3://')",
)
SEEING = (
    "object.spec.volumes.size() == 0",
    "has(object.spec.affinity)",
    "has(object.spec.initContainers)",
    "object.spec.containers.exists(c, has(c.env) && c.env.size() > 3)",
    "object.spec.containers.exists(c, 'args' in c)",
    "object.spec.containers.exists(c, 'ar' + 'gs' in c)",
    "object.spec.containers.exists(c, c['ar' + 'gs'].size() > 0)",
    "object.spec.containers.exists(c, c.exists(k, k.startsWith('ar')))",
    "object.spec.containers.exists(c, size(c) > 5)",
    "object.spec.containers.exists(c, c == {'name': 'x'})",
    "object.spec.containers.filter(c, c.name == 'x')[0] == {}",
    "object.spec.containers == []",
    "object.spec.containers[0] == {}",
    "[object.spec.containers].size() == 1",
    "object.spec.exists(k, k == 'x')",
    "object.spec.size() > 3",
    "object.exists(k, k == 'spec')",
    "object == oldObject",
    "object['spec']['vol' + 'umes'].size() == 1",
    "object.spec['vol' + 'umes'].size() == 1",
    "object.?spec.?nodeName.hasValue()",
    "object.metadata.exists(k, k.startsWith('ann'))",
    "object.metadata.annotations.size() == 1",
    "object.metadata.annotations.exists(k, k == 'x')",
    "object.metadata.annotations == {}",
    "'warmpod.dev/decision' in object.metadata.annotations",
    "object.metadata.annotations['warmpod.dev/' + 'decision'] == 'x'",
    "'x' in (object.metadata.annotations)",
    "r'ar\\gs' in object.metadata.labels",
    "'\\u0061rgs' in object.metadata.labels",
    "object.spec.nodeName == 'x' // c",
    "cel.bind(o, object, o.spec.nodeName == 'x')",
    "[object].exists(o, o.spec.nodeName == 'x')",
    "[1].exists(object, object.spec.nodeName == 'x')",
    "[1].map(request, request.x)",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, Blindness.BLIND) for text in BLIND),
        *((text, Blindness.WITH_ANNOTATIONS) for text in WITH_ANNOTATIONS),
        *((text, Blindness.SEEING) for text in SEEING),
    ],
)
def test_what_counts_as_blind(text: str, expected: Blindness) -> None:
    assert of_expression(text) is expected


@given(st.text(alphabet="objectspecmetadata.()[]'\"c,=! in&|+has1 ", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    assert of_expression(text) in Blindness


FACTS = builders.facts()
_COMPILED = [
    (environment().compile(text), of_expression(text))
    for text in (*BLIND, *WITH_ANNOTATIONS)
    if "variables" not in text
]


@given(strategies.sound_pods())
def test_the_blind_see_no_difference(pod: Object) -> None:
    decision = admit(builders.request(pod), FACTS)
    assert decision.pod is not None
    enough = Blindness.WITH_ANNOTATIONS if pod["metadata"].get("annotations") else Blindness.BLIND
    for expression, blindness in _COMPILED:
        if blindness >= enough:
            assert _answer(expression, pod) == _answer(expression, decision.pod), expression.source
        assert _answer(expression, pod) == _answer(expression, lean(pod)), expression.source


def _answer(expression: object, pod: Object) -> object:
    bindings = Bindings(object=pod, request={"operation": "CREATE"}, namespaceObject={"metadata": {"name": "x"}})
    try:
        return expression.value(Activation(bindings))  # type: ignore[attr-defined]  # an Expression, whose protocol says so
    except FailedEvaluation as error:
        return str(error)
