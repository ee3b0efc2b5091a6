"""What `warmpod preview` is handed on stdin by Helm and kustomize, as they write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from webhook.cli.main import main

POLICY = """
apiVersion: warmpod.dev/v1alpha1
kind: WarmPolicy
metadata: {name: debug-nccl}
spec: {mode: Enforce, env: [{name: NCCL_DEBUG, value: WARN}]}
"""
DEPLOYMENT = """---
# Source: llama/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama, namespace: serving}
spec:
  template:
    spec:
      containers: [{name: main, image: vllm, resources: {limits: {nvidia.com/gpu: "1"}}}]
"""
HOOK = """---
# Source: llama/templates/tests/test.yaml
apiVersion: v1
kind: Pod
metadata: {name: llama-test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: wget, image: busybox}]}
"""
DRY_RUN = f"""NAME: llama
LAST DEPLOYED: Sun Nov 22 02:07:52 2026
NAMESPACE: default
STATUS: pending-install
REVISION: 1
HOOKS:
{HOOK}MANIFEST:
{DEPLOYMENT}
NOTES:
1. Get the application's URL: `kubectl get svc`
 kind: Pod  {{ not YAML
"""
CRD = """---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: llamas.example.com}
spec:
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          properties: {spec: {properties: {containers: {type: array, items: {type: object}}}}}
"""
DAEMON = """---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: dcgm}
spec:
  template:
    spec:
      containers: [{name: main, image: vllm/vllm-openai:v0.11.0, resources: {limits: {nvidia.com/gpu: "1"}}}]
"""


def preview(text: str, tmp_path: Path, *arguments: str) -> Result:
    (tmp_path / "policy.yaml").write_text(POLICY)
    arguments = ("-f", "-", "--policies", str(tmp_path / "policy.yaml"), *arguments)
    return CliRunner().invoke(main, ["preview", *arguments], input=text)


def places(result: Result) -> list[tuple[str, str]]:
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["items"]
    return [(one["source"], f"{one['namespace']}/{one['name']}") for one in found]


IN_DRY_RUN = [("<stdin>:9", "default/llama-test"), ("<stdin>:16 spec.template", "serving/llama")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DEPLOYMENT, [("<stdin>:3 spec.template", "serving/llama")]),
        (
            f"---\n---\n{CRD}{DEPLOYMENT}---\n# only a comment\n---\nnull\n{HOOK}",
            [("<stdin>:15 spec.template", "serving/llama"), ("<stdin>:28", "default/llama-test")],
        ),
        (DRY_RUN, IN_DRY_RUN),
        (DRY_RUN.partition("NOTES:")[0], IN_DRY_RUN),
    ],
    ids=["template", "empty-documents-and-crds", "install-dry-run", "without-notes"],
)
def test_streams_of_helm(text: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    found = places(preview(text, tmp_path, "--output", "json"))
    assert found == expected


def test_a_manifest_that_only_begins_like_a_release_is_not_cut(tmp_path: Path) -> None:
    text = DEPLOYMENT.replace("# Source", "# NAME: x\n# LAST DEPLOYED: y\n# NOTES:\n# Source")
    assert len(places(preview(text, tmp_path, "--output", "json"))) == 1


def test_pods_of_a_daemonset_are_placed_by_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_text(
        json.dumps({"schema": 2, "id": "x", "time": "2026-11-22T02:07:52Z", "nodes": [{"name": "gpu-1"}]})
    )
    (tmp_path / "placing.yaml").write_text(POLICY.replace("env: [", "images: {placement: Prefer}, env: ["))
    result = preview(
        DAEMON, tmp_path, "--inventory", str(tmp_path / "snapshot.json"), "--policies", str(tmp_path / "placing.yaml")
    )
    assert "placement: pod belongs to a DaemonSet" in result.stdout
