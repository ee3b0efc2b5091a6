from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from webhook.cel import Activation, Bindings
from webhook.kube import Object
from webhook.mutate.draft import Draft
from webhook.mutate.redirect import redirect
from webhook.mutate.source import NoSource, Source, resolve, shown
from webhook.policy.model import Model


def model(source: str) -> Model:
    spec = f"""
  models:
    - name: weights
      source: {source}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
"""
    return builders.policies(builders.policy(spec)).policies[0].models[0]


POD = builders.pod(
    builders.container(
        args=["--model=$(BUCKET)/llama", "--tokenizer", "s3://acme-models/tok/"],
        env=[
            {"name": "BUCKET", "value": "s3://acme-models"},
            {"name": "MODEL", "value": "$(BUCKET)/qwen"},
            {"name": "FROM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "EVIL", "value": "$(BUCKET)/../evil"},
        ],
    ),
    annotations={"warmpod.dev/model": "s3://acme-models/llama"},
    labels={"model": "llama"},
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{value: s3://acme-models/fixed}", Source("s3://acme-models/fixed/", "s3://acme-models/fixed")),
        ("{annotation: warmpod.dev/model}", Source("s3://acme-models/llama/", "s3://acme-models/llama")),
        ("{annotation: other}", NoSource("no source: pod has no annotation other")),
        ("{label: model}", NoSource('source "llama" (from label model) is not allowed', refused="llama")),
        ("{label: other}", NoSource("no source: pod has no label other")),
        ("{env: MODEL}", Source("s3://acme-models/qwen/", "s3://acme-models/qwen")),
        ("{env: FROM}", NoSource("no source: no env FROM")),
        (
            "{env: EVIL}",
            NoSource(
                'source "s3://acme-models/../evil" (from env EVIL) is not allowed', refused="s3://acme-models/../evil"
            ),
        ),
        ("{arg: --model}", Source("s3://acme-models/llama/", "s3://acme-models/llama")),
        ("{arg: --tokenizer}", Source("s3://acme-models/tok/", "s3://acme-models/tok/")),
        ("{arg: --other}", NoSource("no source: no argument --other")),
        (
            "{expression: \"'s3://acme-models/' + object.metadata.labels.model\"}",
            Source("s3://acme-models/llama/", "s3://acme-models/llama"),
        ),
        ("{expression: \"'/etc'\"}", NoSource('source "/etc" (by expression) is not allowed', refused="/etc")),
        (
            '{expression: "object.metadata.labels.size()"}',
            NoSource("no source: its expression gave int, not a string"),
        ),
        ("{expression: \"''\"}", NoSource("no source: its expression gave an empty string")),
    ],
)
def test_where_a_model_comes_from(rule: str, expected: Source | NoSource) -> None:
    assert resolve(model(rule), POD, POD["spec"]["containers"], lambda: Activation(Bindings(object=POD))) == expected


def test_an_expression_without_answer_is_a_reason() -> None:
    found = resolve(
        model('{expression: "object.metadata.labels.nope"}'), POD, [], lambda: Activation(Bindings(object=POD))
    )
    assert isinstance(found, NoSource)
    assert found.reason.startswith("no source: its expression failed: ")
    assert not found.refused


@given(st.text())
def test_what_others_wrote_is_shown_on_one_line(text: str) -> None:
    told = shown(text)
    assert told.isprintable()
    assert told[0] == told[-1] == '"'
    assert len(told) <= 10 * 123 + 2


@pytest.mark.parametrize(
    ("text", "told"),
    [("a b", '"a b"'), ('a"b\\', '"a\\"b\\\\"'), ("a\nb", '"a\\nb"'), ("x" * 200, '"' + "x" * 120 + '..."')],
)
def test_shown(text: str, told: str) -> None:
    assert shown(text) == told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s3://acme-models/llama", "/models"),
        ("s3://acme-models/llama/", "/models"),
        ("--model=s3://acme-models/llama/", "--model=/models"),
        ("-m=s3://acme-models/llama", "-m=/models"),
        ("model=s3://acme-models/llama", "model=s3://acme-models/llama"),
        ("s3://acme-models/llama-2", "s3://acme-models/llama-2"),
        ("s3://acme-models/llama/tokenizer", "s3://acme-models/llama/tokenizer"),
        ("serve s3://acme-models/llama", "serve s3://acme-models/llama"),
        ("--model=$(MODEL)", "--model=$(MODEL)"),
        ("--model", "--model"),
    ],
)
def test_redirect(before: str, after: str) -> None:
    source = Source("s3://acme-models/llama/", "s3://acme-models/llama")
    pod = builders.pod(
        builders.container(args=[before], command=[before], env=[{"name": "M", "value": before}, {"name": "N"}]),
        builders.container("other", args=[before]),
    )
    draft = Draft(pod)
    redirect(draft, source, "/models", {"vllm"})
    changed = draft.built
    mine, other = changed["spec"]["containers"]
    assert mine["args"] == mine["command"] == [after]
    whole = before.rstrip("/") == "s3://acme-models/llama"
    assert mine["env"] == [{"name": "M", "value": "/models" if whole else before}, {"name": "N"}]
    assert other is pod["spec"]["containers"][1]
    assert (changed is pod) is (before == after)


def test_redirect_takes_what_is_no_text_as_it_is() -> None:
    pod: Object = builders.pod({"name": "vllm", "args": [1, None, []], "env": [{"name": "A", "value": 5}]})
    draft = Draft(pod)
    redirect(draft, Source("s3://b/", "s3://b/"), "/models", {"vllm"})
    assert draft.built is pod
