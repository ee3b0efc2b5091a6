"""Policies and pods for tests of lint: what is found, by code and place."""

from __future__ import annotations

from typing import Any

import yaml

from webhook.kube.workload import pods_of
from webhook.lint.check import Manifest, Manifests
from webhook.lint.lint import lint
from webhook.policy.model import PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Problem, Source

HEAD = "apiVersion: warmpod.dev/v1alpha1\n"
CACHE = f"{HEAD}kind: NodeCache\nmetadata: {{name: c}}\nspec: {{volume: {{hostPath: {{path: /mnt/k8s-disks/0/c}}}}}}\n"


def policy(name: str, spec: str) -> str:
    """A WarmPolicy whose spec is these fields in YAML's flow style."""
    return f"{HEAD}kind: WarmPolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def profile(name: str, spec: str) -> str:
    """A ClientProfile, likewise."""
    return f"{HEAD}kind: ClientProfile\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def policies(*documents: str) -> PolicySet:
    """The policies of sound documents."""
    found = parse([Source("p.yaml", "---\n".join(documents))])
    assert found.problems == ()
    return found


def manifests(text: str, namespace_labels: dict[str, str] | None = None) -> Manifests:
    """The pods of manifests in YAML."""
    found = [each for document in yaml.safe_load_all(text) for each in pods_of(document)]
    assert found
    return tuple(Manifest(f"pod {index}", each.pod, "serving", namespace_labels) for index, each in enumerate(found))


def pod(**container: Any) -> dict[str, Any]:
    """A pod of one container that asks for a GPU."""
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources, **container}]},
    }


def problems(text: str, pods: Manifests = ()) -> list[Problem]:
    """All that parsing and lint say of one file."""
    sources = [Source("p.yaml", text)]
    found = parse(sources)
    return [*found.problems, *lint(found, pods, sources)]


def codes(*documents: str, pods: Manifests = ()) -> list[str]:
    """The codes of what is found in these documents."""
    return [each.code for each in problems("---\n".join(documents), pods)]
