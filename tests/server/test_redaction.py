"""No secret of a pod reaches a record, and the decision over what is left is the decision over what was sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.kube import Object, patch
from webhook.kube.review import AdmissionRequest
from webhook.policy.model import PolicySet
from webhook.report.record import REDACTED, decided, decode, encode
from webhook.report.replay import unlike
from webhook.server.redaction import Redaction
from webhook.server.secret_text import SecretText, is_secret_name

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = b"k" * 32
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+IBAAKCAQEA7\n-----END RSA PRIVATE KEY-----"
AWS_SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEYq"


def redacted(asked: Object, decision: Decision, policies: PolicySet, **options: Any) -> tuple[Object, Decision]:
    return Redaction(KEY, **options)(asked, decision, policies)


def recorded_text(sent: Object, facts: Facts | None = None, **options: Any) -> str:
    """What a record of this pod's creation says."""
    facts = facts or builders.facts()
    request = builders.request(sent)
    asked, decision = redacted(request.raw, admit(request, facts), facts.policies, **options)
    return encode(asked, facts, decision, time=NOW, version="1").decode()


def with_env(name: str, value: str) -> Object:
    return builders.gpu_pod(env=[{"name": name, "value": value}])


PLACES: dict[str, tuple[str, Object]] = {
    "env of a container": ("hunter2xyz", with_env("COLOUR", "hunter2xyz")),
    "env of a secret's name": ("hunter2xyz", with_env("HF_TOKEN", "hunter2xyz")),
    "env that S3 clients read": (AWS_SECRET, with_env("AWS_SECRET_ACCESS_KEY", AWS_SECRET)),
    "env that S3 clients read, by its value": ("pw-9f8e7d", with_env("HTTPS_PROXY", "http://me:pw-9f8e7d@proxy:3128")),
    "env that a policy sets, by its value": (JWT, with_env("NCCL_DEBUG", JWT)),
    "env that names a model, signed": ("abcdef0123", with_env("A", "s3://b/m/?X-Amz-Signature=abcdef0123")),
    "env, empty name": ("hunter2xyz", with_env("", "hunter2xyz")),
    "env of an init container": (
        "hunter2xyz",
        builders.pod(
            builders.container(),
            initContainers=[{"name": "i", "image": "i", "env": [{"name": "X", "value": "hunter2xyz"}]}],
        ),
    ),
    "env of a debug container": (
        "hunter2xyz",
        builders.pod(
            builders.container(),
            ephemeralContainers=[{"name": "d", "image": "d", "env": [{"name": "X", "value": "hunter2xyz"}]}],
        ),
    ),
    "env of a container nobody knows": (
        "hunter2xyz",
        builders.pod(
            builders.container(), futureContainers=[{"name": "f", "env": [{"name": "X", "value": "hunter2xyz"}]}]
        ),
    ),
    "argument of a flag": ("hunter2", builders.gpu_pod(args=["--api-key=hunter2"])),
    "argument after a flag": ("hunter2", builders.gpu_pod(args=["--api-key", "hunter2"])),
    "argument after a flag, and in a variable": (
        "hunter2",
        builders.gpu_pod(args=["--api-key", "hunter2"], env=[{"name": "X", "value": "hunter2"}]),
    ),
    "assignment in a shell": ("hunter2", builders.gpu_pod(command=["sh", "-c", "export DB_PASSWORD='hunter2'; run"])),
    "header in a shell": (
        "dGhpc2lzYXNlY3JldA==",
        builders.gpu_pod(command=["sh", "-c", "curl -H 'Authorization: Basic dGhpc2lzYXNlY3JldA==' https://x"]),
    ),
    "other header in a shell": ("hunter2", builders.gpu_pod(args=["curl -H 'Authorization: token hunter2' https://x"])),
    "words in quotes": ("of words", builders.gpu_pod(args=["PASSWORD='a pass of words' run"])),
    "connection string": ("hunter2", builders.gpu_pod(args=["Server=db;User=me;Password=hunter2;Timeout=3"])),
    "YAML in an annotation": ("hunter2", builders.gpu_pod(annotations={"acme.dev/c": "user: me\npassword: hunter2\n"})),
    "flag in a shell": ("hunter2", builders.gpu_pod(command=["sh", "-c", "vllm serve --api-key hunter2 --port 80"])),
    "user and password in a shell": ("hunter2", builders.gpu_pod(command=["sh", "-c", "curl -u me:hunter2 https://x"])),
    "issued token in an argument": ("hf_" + "a1B2" * 8, builders.gpu_pod(args=["hf_" + "a1B2" * 8])),
    "key id in an argument": ("AKIAIOSFODNN7EXAMPLE", builders.gpu_pod(args=["x AKIAIOSFODNN7EXAMPLE y"])),
    "random text in an argument": (AWS_SECRET, builders.gpu_pod(args=[AWS_SECRET])),
    "private key in an argument": ("MIIEow+IBAAKCAQEA7", builders.gpu_pod(args=[PEM])),
    "annotation of a secret's name": ("hunter2", builders.gpu_pod(annotations={"acme.dev/db-password": "hunter2"})),
    "annotation with a document": (
        "hunter2",
        builders.gpu_pod(annotations={"acme.dev/config": '{"user": "me", "password": "hunter2"}'}),
    ),
    "annotation with a document in a document": (
        "hunter2",
        builders.gpu_pod(annotations={"acme.dev/config": json.dumps(json.dumps({"password": "hunter2"}))}),
    ),
    "last-applied-configuration": (
        "hunter2xyz",
        builders.gpu_pod(
            annotations={
                "kubectl.kubernetes.io/last-applied-configuration": json.dumps(with_env("COLOUR", "hunter2xyz"))
            }
        ),
    ),
    "header of a probe": (
        "hunter2",
        builders.gpu_pod(
            livenessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}}
        ),
    ),
    "command of a probe": (
        "hunter2",
        builders.gpu_pod(livenessProbe={"exec": {"command": ["psql", "--password", "hunter2"]}}),
    ),
    "command of a hook": (
        "hunter2",
        builders.gpu_pod(lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "x --token=hunter2"]}}}),
    ),
    "attribute of a CSI volume": (
        "hunter2",
        builders.pod(
            builders.container(),
            volumes=[{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"accountKey": "hunter2"}}}],
        ),
    ),
    "address of a Git repository": (
        "hunter2",
        builders.pod(
            builders.container(), volumes=[{"name": "v", "gitRepo": {"repository": "https://me:hunter2@git.example/r"}}]
        ),
    ),
    "fields nobody knows": (
        "hunter2",
        builders.pod(builders.container(), future={"auth": [{"clientSecret": "hunter2"}]}),
    ),
    "managed fields": (
        "hunter2xyz",
        {
            **builders.gpu_pod(),
            "metadata": {"name": "a", "managedFields": [{"fieldsV1": {'v:"hunter2xyz"': {}, "x": "hunter2xyz"}}]},
        },
    ),
}


HIDDEN_BY_DEFAULT_ALONE = {place for place in PLACES if place.startswith("env of a")} | {
    "env, empty name",
    "argument after a flag, and in a variable",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_never_reaches_the_record(place: str) -> None:
    secret, sent = PLACES[place]
    assert secret in json.dumps(sent).replace("\\\\", "\\") or "\n" in secret, "the case plants nothing"
    assert secret not in recorded_text(sent)
    if place not in HIDDEN_BY_DEFAULT_ALONE:
        assert secret not in recorded_text(sent, keep_values=True)


def test_what_the_api_server_says_of_the_user_stays_but_for_the_extra() -> None:
    request = builders.request(builders.gpu_pod())
    asked = {**request.raw, "userInfo": {"username": "me", "groups": ["a"], "extra": {"scopes": ["hunter2xyz"]}}}
    kept, _ = redacted(asked, Decision(), PolicySet())
    assert kept["userInfo"] == {"username": "me", "groups": ["a"]}


QUOTING = """
  models:
    - name: weights
      source: {env: SECRET_MODEL}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
"""
FAILING = """
  matchConditions:
    - {name: number, expression: "int(object.spec.containers[0].env[0].value) > 1"}
  env: [{name: X, value: "1"}]
"""


@pytest.mark.parametrize(
    "secret", ["hunter2", "hunter2-and-some-more", 'with "quotes" and \\ inside', "long" * 60, "ünï\u202ecode!"]
)
@pytest.mark.parametrize("spec", [QUOTING, FAILING], ids=["a refused source", "a failing expression"])
def test_nor_by_a_reason_that_quotes_it(spec: str, secret: str) -> None:
    facts = builders.facts(builders.policy(spec))
    sent = with_env("SECRET_MODEL", secret)
    request = builders.request(sent)
    decision = admit(request, facts)
    told = json.dumps([verdict.reason for verdict in decision.policies] + list(decision.warnings))
    text = recorded_text(sent, facts)
    assert REDACTED in text
    for piece in (secret, secret[:24], secret[-24:]):
        assert piece not in text, told
        assert json.dumps(piece, ensure_ascii=False)[1:-1] not in text, told


KEPT: dict[str, tuple[Object, str]] = {
    "a variable that S3 clients read": (with_env("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"), "arn:aws:iam::1:role/r"),
    "the path of a token": (
        with_env("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token"),
        "/var/run/secrets/token",
    ),
    "a variable that a policy sets": (with_env("NCCL_DEBUG", "TRACE"), "TRACE"),
    "the address of a model": (with_env("ANY", "s3://acme-models/other/"), "s3://acme-models/other/"),
    "what an argument says too": (
        builders.gpu_pod(args=["--model=org/name"], env=[{"name": "MODEL_ID", "value": "org/name"}]),
        '{"name":"MODEL_ID","value":"org/name"}',
    ),
    "a reference": (with_env("HF_TOKEN", "$(OTHER)"), "$(OTHER)"),
    "an argument": (builders.gpu_pod(args=["--max-num-batched-tokens=4096"]), "--max-num-batched-tokens=4096"),
    "a tokenizer": (builders.gpu_pod(args=["--tokenizer", "org/name"]), '"org/name"'),
    "the name of a Secret": (
        builders.pod(builders.container(), volumes=[{"name": "v", "secret": {"secretName": "my-secret"}}]),
        "my-secret",
    ),
    "an image by digest": (builders.gpu_pod(image=f"a/b@sha256:{'0a' * 32}"), f"sha256:{'0a' * 32}"),
    "a model's revision": (builders.gpu_pod(f"s3://acme-models/{'0a' * 20}/"), f"s3://acme-models/{'0a' * 20}/"),
    "a long name": (
        builders.gpu_pod(args=["Meta-Llama-3.1-405B-Instruct-FP8-dynamic-W8A8-Tensor"]),
        "Meta-Llama-3.1-405B-Instruct-FP8-dynamic-W8A8-Tensor",
    ),
    "a uid": (
        builders.pod(builders.container(), labels={"controller-uid": "5d2b3c1e-0f6a-4a3b-9c8d-7e6f5a4b3c2d"}),
        "5d2b3c1e-0f6a-4a3b-9c8d-7e6f5a4b3c2d",
    ),
    "a label whatever its name": (builders.pod(builders.container(), labels={"auth": "none"}), '"auth":"none"'),
    "a quantity whatever its name": (
        builders.pod({"name": "a", "image": "a", "resources": {"limits": {"acme.dev/token": "2"}}}),
        '"acme.dev/token":"2"',
    ),
}


@pytest.mark.parametrize("what", KEPT)
def test_what_decides_and_is_no_secret_stays(what: str) -> None:
    sent, text = KEPT[what]
    assert text in recorded_text(sent)


def test_a_variable_that_an_expression_compares_stays() -> None:
    spec = """
  matchConditions:
    - name: debug
      expression: "object.spec.containers.exists(c, has(c.env) && c.env.exists(e, e.name == 'STAGE' && e.value == 'x'))"
  env: [{name: X, value: "1"}]
"""
    facts = builders.facts(builders.policy(spec))
    sent = builders.gpu_pod(env=[{"name": "STAGE", "value": "production"}, {"name": "OTHER", "value": "hidden-one"}])
    text = recorded_text(sent, facts)
    assert '"production"' in text
    assert "hidden-one" not in text


def test_values_stay_when_asked_but_for_secrets() -> None:
    text = recorded_text(
        builders.gpu_pod(env=[{"name": "STAGE", "value": "production"}, {"name": "API_KEY", "value": "hunter2"}]),
        keep_values=True,
    )
    assert "production" in text
    assert "hunter2" not in text


def test_equal_values_have_equal_tokens_in_a_process_and_other_ones_in_another() -> None:
    one, same, other = (SecretText(key, set()).token("hunter2") for key in (KEY, KEY, b"other"))
    assert one == same != other
    assert SecretText(KEY, set()).token("hunter3") != one


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "db-password", "AWS_SECRET_ACCESS_KEY", "apiKey", "X-Auth", "PGPASSWD", "SENTRY_DSN", "ssh_key"],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["MAX_TOKENS", "TOKENIZERS_PARALLELISM", "AUTHOR", "KEYBOARD", "PATH", "COMPASS", "tokens_per_second"]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


FACTS = builders.facts()


def again(request: AdmissionRequest, kept: Object) -> AdmissionRequest:
    return replace(request, object=kept["object"], raw=kept)


@given(strategies.sound_pods())
@settings(max_examples=120, deadline=None)
def test_the_decision_over_what_is_kept_is_the_one_that_is_kept(sent: Object) -> None:
    request = builders.request(sent)
    before = json.dumps(request.raw, sort_keys=True)
    decision = admit(request, FACTS)
    kept, told = redacted(request.raw, decision, FACTS.policies)
    assert json.dumps(request.raw, sort_keys=True) == before, "the review itself was edited"
    now = admit(again(request, kept), FACTS)
    assert unlike(told, now) == ""
    assert told.pod is not None
    assert patch.equal(patch.apply(kept["object"], told.patch), told.pod)
    read = decode(encode(kept, FACTS, told, time=NOW, version="1"))
    assert read.time == NOW
    assert read.request.raw == json.loads(json.dumps(kept))
    assert replace(decided(read), audit_annotations=told.audit_annotations) == told


@pytest.mark.parametrize(
    "args",
    [
        ["x " * 20_000 + "hunter2xyz"],
        [f"word {number} " * 300 for number in range(400)] + ["word " * 300 + "hunter2xyz"],
    ],
    ids=["a long text", "many texts"],
)
def test_what_is_too_much_to_be_searched_is_replaced_unread(args: list[str]) -> None:
    text = recorded_text(builders.gpu_pod(args=args))
    assert "hunter2xyz" not in text
    assert builders.IMAGE in text


@given(strategies.broken_pods())
@settings(max_examples=60, deadline=None)
def test_whatever_a_pod_is_it_can_be_redacted(sent: Object) -> None:
    request = builders.request(sent)
    redacted(request.raw, admit(request, FACTS), FACTS.policies)


@pytest.mark.parametrize("source", ["oci://ghcr.io/acme/llama:v1", f"oci://ghcr.io/acme/llama@sha256:{'a1b2c3d4' * 8}"])
@pytest.mark.parametrize("is_again", [False, True], ids=["first review", "second review"])
def test_images_of_models_and_whether_there_may_be_any_stay(source: str, is_again: bool) -> None:
    spec = """
  models:
    - name: weights
      source: {arg: --model}
      allow: ["oci://ghcr.io/acme/*"]
      mountPath: /models
      redirect: true
"""
    facts = builders.facts(builders.policy(spec), image_volumes="on")
    sent = builders.gpu_pod(None, args=["--model", source])
    if is_again:
        sent = patch.apply(sent, admit(builders.request(sent), facts).patch)
    request = builders.request(sent)
    decision = admit(request, facts)
    asked, kept = redacted(request.raw, decision, facts.policies)
    record = decode(encode(asked, facts, kept, time=NOW, version="1"))
    assert record.facts.settings.image_volumes == "on"
    again = admit(record.request, replace(facts, settings=record.facts.settings))
    assert not unlike(again, decided(record))
    assert "warmpod-model-weights" in str(again.pod)
    assert bool(again.patch) is not is_again
