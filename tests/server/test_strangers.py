"""What whoever reaches the two ports learns, and what nobody learns from patches, logs and metrics.

Every secret thing has a name of its own here, and everything that comes out is searched for all of them.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.server.serving import SETTINGS, Paths, Server, serving, trusting
from webhook.daemon import health
from webhook.daemon.logs import JsonFormatter, TextFormatter
from webhook.kube import names

HERE = Path(__file__).parent
POLICIES = (HERE.parent / "cluster" / "policies.yaml").read_text()
IMAGE = "vllm/vllm-openai:v0.11.0"

OF_THE_CLUSTER = (
    "node-of-the-cluster", "label-of-a-node", "value-of-a-label", "taint-of-a-node", "namespace-of-another",
    "label-of-a-namespace", "tenant-of-a-model", "bucket-of-a-model", "image-of-another", "claim-of-another",
)  # fmt: skip
OF_THE_POD = (
    "value-of-an-env", "argument-of-a-pod", "name-of-a-secret", "annotation-of-a-pod", "label-of-a-pod",
    "image-pull-secret", "value-of-a-probe-header",
)  # fmt: skip
TOKEN = "the-token-of-the-api-server"


def snapshot(**changes: Any) -> str:
    """What the controller knows of a cluster."""
    room = {"nvidia.com/gpu": {"allocatable": 8, "free": 8}}
    document = {
        "schema": 2,
        "id": "7",
        "time": datetime.now(UTC).isoformat(),
        "nodes": [{"name": f"node-of-the-cluster-{number}", "accelerators": room} for number in range(3)],
        "artifacts": [
            {"kind": "image", "name": f"docker.io/{IMAGE}", "bytes": 9_000_000_000, "nodes": [0]},
            {"kind": "image", "name": "docker.io/image-of-another:1", "bytes": 9_000_000_000, "nodes": [1]},
            {
                "kind": "model",
                "name": "s3://bucket-of-a-model/",
                "tenant": "tenant-of-a-model",
                "bytes": 9,
                "nodes": [2],
            },
        ],
        "labels": {"label-of-a-node": {"value-of-a-label": [0, 1, 2]}},
        "taints": [{"key": "taint-of-a-node", "effect": "PreferNoSchedule", "nodes": [1]}],
        "namespaces": {"namespace-of-another": {"label-of-a-namespace": "x"}, "team-a": {"tier": "serving"}},
        "resourceClaims": {"namespace-of-another/claim-of-another": ["gpu.nvidia.com"]},
        **changes,
    }
    return json.dumps(document)


def pod(**annotations: str) -> dict[str, Any]:
    secret = {"secretKeyRef": {"name": "name-of-a-secret", "key": "token"}}
    return {
        "metadata": {
            "name": "name-of-a-pod",
            "labels": {"app": "label-of-a-pod"},
            "annotations": {
                "note": "annotation-of-a-pod",
                names.ANNOTATION_MODEL: "s3://acme-models/a/",
                **annotations,
            },
        },
        "spec": {
            "imagePullSecrets": [{"name": "image-pull-secret"}],
            "containers": [
                {
                    "name": "vllm",
                    "image": IMAGE,
                    "args": ["--api-key=argument-of-a-pod", "s3://acme-models/a/"],
                    "env": [{"name": "HF_TOKEN", "value": "value-of-an-env"}, {"name": "KEY", "valueFrom": secret}],
                    "livenessProbe": {
                        "httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "value-of-a-probe-header"}]}
                    },
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                }
            ],
        },
    }


def review(document: Any, namespace: str = "team-a", **changes: Any) -> bytes:
    request = {
        "uid": "u-1",
        "operation": "CREATE",
        "namespace": namespace,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": document,
        **changes,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@pytest.fixture
def house(tmp_path: Path, credentials: Paths) -> Iterator[Server]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policies.yaml").write_text(POLICIES)
    (tmp_path / "snapshot.json").write_text(snapshot())
    settings = replace(SETTINGS, hydrator_image="registry.example/warmpod@sha256:0")
    with serving(tmp_path, credentials, snapshot=tmp_path / "snapshot.json", settings=settings) as server:
        assert server.status.gauges().snapshot_usable
        yield server


def plain(server: Server) -> str:
    """Everything that the plain port says."""
    app = health.create_app(server.status.checks, server.metrics, server.status.document)
    with TestClient(app) as client:
        answers = [client.get(path) for path in ("/livez", "/readyz", "/readyz?verbose", "/metrics", "/status")]
        for path in ("/", "/debug/pprof", "/docs", "/openapi.json", "/mutate", "/status/..", "/metrics/x"):
            found = client.get(path)
            assert (found.status_code, found.text) == (404, "Not Found"), path
            answers.append(found)
        for path in ("/livez", "/status"):
            assert client.post(path, content=b"x").status_code == 405
    return "".join(f"{answer.headers}{answer.text}" for answer in answers)


def ask(server: Server, trust: Any, body: bytes, path: str = "/mutate") -> str:
    """An answer, with its patch decoded."""
    status, text = server.ask(trust, path=path, body=body)
    if status != 200:
        return text
    response = json.loads(text)["response"]
    return json.dumps({**response, "patch": base64.b64decode(response.get("patch", "")).decode()})


def logged_so_far(caplog: pytest.LogCaptureFixture) -> str:
    """The log in both of its forms."""
    lines = [form.format(record) for record in caplog.records for form in (JsonFormatter(), TextFormatter())]
    return "\n".join(lines).replace('\\"', '"')


def none_of(secrets: tuple[str, ...], text: str) -> None:
    assert [secret for secret in secrets if secret in text] == []


def test_who_may_ask_learns_what_policies_would_do_and_nothing_of_the_cluster(
    house: Server, credentials: Paths
) -> None:
    """A stranger who reaches the port where no identity is asked for: reviews of pods that nobody makes."""
    trust = trusting(credentials)
    said = []
    for namespace in ("team-a", "namespace-of-nobody", "kube-system", "", "../other"):
        for path in ("/mutate", "/mutate/audit"):
            said += [
                ask(house, trust, review(pod(), namespace), path),
                ask(house, trust, review(pod(**{names.ANNOTATION_PROBE: ""}), namespace, dryRun=True), path),
            ]
    # Guesses: of a model that is there, for another tenant, of one that no policy allows, of a claim of another.
    for guess in ("s3://acme-models/../x/", "s3://elsewhere/", "$(HF_TOKEN)", "file:///etc/shadow"):
        said.append(ask(house, trust, review(pod(**{names.ANNOTATION_MODEL: guess}))))
    said += [ask(house, trust, review(pod(), operation=operation)) for operation in ("UPDATE", "DELETE", "CONNECT")]
    said += [ask(house, trust, body) for body in (b"", b"{}", b"[" * 200, b"\xff", review([]), review(None))]
    said += [house.ask(trust, path=path)[1] for path in ("/", "/metrics", "/readyz", "/status", "/mutate/", "/docs")]
    whole = "".join(said)
    assert "NCCL_DEBUG" in whole  # what policies do to a pod is no secret to who may ask
    assert names.NODE_LABEL_PREFIX in whole  # that some node holds this image neither
    assert "warmpod-probe" in whole
    none_of(OF_THE_CLUSTER, whole)
    none_of((*OF_THE_CLUSTER, *OF_THE_POD, "team-a", "name-of-a-pod", "acme-models"), plain(house))


@pytest.mark.parametrize(
    "spoilt",
    [
        snapshot(nodes=[{"name": "node-of-the-cluster", "accelerators": {}}] * 2),
        snapshot(artifacts=[{"kind": "image", "name": "docker.io/image-of-another:1", "nodes": [0]}] * 2),
        snapshot(
            artifacts=[{"kind": "model", "name": "s3://bucket-of-a-model/'\"/", "label": "model-x", "nodes": [0]}]
        ),
        snapshot(labels={"label-of-a-node": {"value-of-a-label": [99]}}),
        snapshot(taints=[{"key": "taint-of-a-node", "effect": "NoSchedule", "nodes": [99]}]),
        snapshot(artifacts=[{"kind": "image-of-another", "name": "x", "nodes": [0]}]),
        snapshot(namespaces={"namespace-of-another": {"label-of-a-namespace": 3}}),
        snapshot(resourceClaims={"namespace-of-another/claim-of-another": 3}),
        snapshot(time="node-of-the-cluster"),
        snapshot(schema=3),
    ],
    ids=["nodes", "images", "models", "labels", "taints", "kinds", "namespaces", "claims", "times", "schema"],
)
def test_a_snapshot_that_cannot_be_read_is_not_quoted(house: Server, tmp_path: Path, spoilt: str) -> None:
    (tmp_path / "snapshot.json").write_text(spoilt)
    house.refresh()
    assert house.status.gauges().source_problems["snapshot"]
    said = plain(house)
    assert f"[!] snapshot: {tmp_path / 'snapshot.json'}: " in said
    none_of(OF_THE_CLUSTER, said)


@pytest.mark.parametrize(
    "line",
    [
        "  mode: {secret}",
        "  {secret}: 1",
        "  env: [{{name: A, value:{secret}}}]",
        "  env: [{{name: A, value: *{secret}}}]",
        "  env: [{{name: A, value: [{secret}]}}]",
        '  variables: [{{name: a, expression: "{secret} +"}}]',
        "  clientProfiles: [{secret}]",
        "  match: {{namespaceSelector: {{matchLabels: {{{secret}: [1]}}}}}}",
    ],
    ids=["mode", "field", "no space", "alias", "list", "expression", "reference", "label"],
)
def test_a_policy_that_cannot_be_read_is_placed_and_not_quoted(house: Server, tmp_path: Path, line: str) -> None:
    text = "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: b}\nspec:\n"
    (tmp_path / "policies" / "b.yaml").write_text(f"{text}{line.format(secret='text-of-a-policy')}\n")
    house.refresh()
    assert house.status.gauges().source_problems["policies"]
    said = plain(house)
    assert "[!] policy-problem: b.yaml:5:" in said
    assert "text-of-a-policy" not in said


def test_no_value_of_a_pod_comes_out_anywhere(
    house: Server, tmp_path: Path, credentials: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """Patches are stored in audit logs, warnings are shown to people, logs and metrics go to other systems."""
    caplog.set_level(logging.DEBUG)
    trust = trusting(credentials)
    said = [
        ask(house, trust, review(document, dryRun=dry_run), path)
        for document in (pod(), pod(**{names.ANNOTATION_MODEL: "s3://value-of-an-env/"}), {**pod(), "spec": 3})
        for dry_run in (False, True)
        for path in ("/mutate", "/mutate/audit")
    ]
    assert '"..." (from annotation warmpod.dev/model) is not allowed' in logged_so_far(caplog)
    (tmp_path / "policies" / "z.yaml").write_text(
        "apiVersion: warmpod.dev/v1alpha1\nkind: WarmPolicy\nmetadata: {name: z}\nspec:\n  mode: Enforce\n"
        "  failurePolicy: Fail\n  matchConditions: [{name: c, expression: "
        '"int(object.spec.containers[0].env[0].value) > 0"}]\n'
    )
    house.refresh()
    said.append(ask(house, trust, review(pod())))
    assert '"allowed": false' in said[-1]
    answers = "".join(said)
    assert "JSONPatch" in answers
    logged = logged_so_far(caplog)
    secrets = tuple(one for one in OF_THE_POD if one != "label-of-a-pod")
    none_of(secrets, answers.replace("s3://value-of-an-env/", ""))  # the author's own source, told back to the author
    none_of(OF_THE_POD, logged)
    none_of(OF_THE_POD, plain(house))
    key = credentials.key.read_text().splitlines()[1]
    none_of((key,), answers + logged + plain(house))


def test_no_header_decides_where_a_request_goes(house: Server, credentials: Paths) -> None:
    trust = trusting(credentials)
    hostile = {
        "host": "evil.example:1/mutate?",
        "x-forwarded-host": "evil.example",
        "x-forwarded-prefix": "/mutate",
        "x-forwarded-proto": "http",
        "x-original-url": "/mutate",
        "x-http-method-override": "GET",
        "forwarded": "host=evil.example",
        "upgrade": "websocket",
        "cookie": "a=b",
    }
    body = review(pod(), "team-a")
    usual = house.ask(trust, path="/mutate", body=body)
    assert usual[0] == 200
    assert house.ask(trust, hostile, path="/mutate", body=body) == usual
    for path in ("/", "//mutate", "/mutate/", "/MUTATE", "/%2fmutate", "/mutate/../mutate", "/mutate;a", "/x/mutate"):
        status, text = house.ask(trust, hostile, path=path, body=body)
        assert (status, text) == (404, "Not Found"), path


def test_the_framework_is_one_whose_known_defects_are_mended() -> None:
    """CVE-2026-48710 (1.0.1), PYSEC-2026-248 (1.3.0), CVE-2026-54283 (1.3.1) of starlette."""
    locked = (HERE.parents[1] / "requirements" / "runtime.txt").read_text()
    [version] = re.findall(r"^starlette==([0-9.]+)", locked, re.MULTILINE)
    assert tuple(map(int, version.split("."))) >= (1, 3, 1)
