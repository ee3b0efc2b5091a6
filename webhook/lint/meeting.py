"""Pods on which policies may meet, built from what the policies ask for. Whether they do meet is for `admit` to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from webhook.cel import Fact
from webhook.inventory.model import Inventory
from webhook.kube import Object, names
from webhook.kube.accelerator import DEFAULT_DEVICE_CLASSES
from webhook.kube.podsecurity import Level
from webhook.kube.selector import LabelSelector
from webhook.lint.check import Manifest
from webhook.lint.demands import Demands, choice, holds, required_labels, step_of
from webhook.lint.pod_fields import prefixes
from webhook.lint.trial import SETTINGS
from webhook.policy.model import Model, Policy

_RESOURCES = (
    "nvidia.com/gpu",
    "amd.com/gpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "habana.ai/gaudi",
    "gpu.intel.com/i915",
    "google.com/tpu",
)
_IMAGE = "registry.example/server:1"
_CLAIM = "accelerator"


class Meeting(NamedTuple):
    """A pod, and an inventory that knows its claims."""

    manifest: Manifest
    inventory: Inventory


def meetings(policies: Sequence[Policy], demands: Demands) -> Iterator[Meeting]:
    """Yield a few pods made for these policies, the plainest first."""
    facts = [fact for group in demands.groups for fact in group]
    labels = choice(demands.object_selectors, required_labels(facts, "object.metadata.labels"))
    accelerator = _accelerator(policies)
    if labels is None or accelerator is None:
        return
    named = list(dict.fromkeys(name for policy in policies for name in _containers(policy))) or ["server"]
    inner = [group for group in demands.groups if any("containers[]" in fact.path for fact in group)]
    spread = [*named, *(f"other-{index}" for index in range(1, len(inner)))]
    for namespace_labels in _namespaces(demands.namespace_selectors, facts):
        for containers in (named, spread) if len(inner) > 1 else (named,):
            for more in (1, -1) if any(fact.relation == "<" for fact in facts) else (1,):
                pod = _pod(containers, labels, accelerator)
                for group in demands.groups:
                    wide = containers is spread
                    first = inner.index(group) if wide and group in inner else 0
                    last = len(named) if group in inner and not wide else first + 1
                    for place in range(first, last):
                        _apply(pod, group, facts, place, more)
                models = [model for policy in policies for model in policy.models]
                for index, model in enumerate(models, 1):
                    _name_source(pod, model, f"model-{index}/")
                namespace = pod["metadata"]["namespace"] = namespace_labels[names.LABEL_NAMESPACE_NAME]
                manifest = Manifest("a pod made up", pod, namespace, namespace_labels)
                yield Meeting(manifest, Inventory(claims={f"{namespace}/{_CLAIM}": (accelerator,)}))


def _namespaces(selectors: Sequence[LabelSelector], facts: Sequence[Fact]) -> Iterator[dict[str, str]]:
    """Labels of namespaces that the selectors pick: plain ones, and those of the most permissive PodSecurity level."""
    wanted = required_labels(facts, "namespaceObject.metadata.labels")
    about = [fact for fact in facts if fact.path in {"object.metadata.namespace", "request.namespace"}]
    plain = choice(selectors, wanted)
    levels = [choice(selectors, {**wanted, names.LABEL_POD_SECURITY_ENFORCE: {str(level)}}) for level in Level]
    name = str(_value(about, "default", 1)) if about else "default"
    seen: list[dict[str, str]] = []
    for found in (plain, *[each for each in levels if each is not None][:1]):
        labels = None if found is None else {names.LABEL_NAMESPACE_NAME: name, **found}
        if labels is not None and labels not in seen:
            seen.append(labels)
            yield labels


def _accelerator(policies: Sequence[Policy]) -> str | None:
    """The name of a resource or device class that all policies count as an accelerator."""
    patterns = [pattern for policy in policies for pattern in policy.accelerator_patterns]
    candidates = [*_RESOURCES, *DEFAULT_DEVICE_CLASSES]
    candidates += [name for pattern in patterns for name in (pattern.replace("*", ""), pattern.replace("*", "x"))]
    candidates += [
        first.partition("*")[0] + second.rpartition("*")[2] for first in patterns for second in patterns if "*" in first
    ]
    for name in candidates:
        if all(_counts(policy, name) for policy in policies):
            return name
    return None


def _counts(policy: Policy, name: str) -> bool:
    accelerators = policy.accelerators or SETTINGS.accelerators
    return accelerators.is_resource(name) or accelerators.is_device_class(name)


def _containers(policy: Policy) -> list[str]:
    of_models = [name for each in policy.models for name in each.containers]
    return of_models + [name for each in policy.volumes for name in each.containers]


def _pod(containers: Sequence[str], labels: dict[str, str], accelerator: str) -> Object:
    """A pod as the API server would send it, whose containers all ask for the accelerator."""
    spec: Object = {
        "containers": [_container(name, accelerator) for name in containers],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
    }
    if "/" not in accelerator:
        spec["resourceClaims"] = [{"name": _CLAIM, "resourceClaimName": _CLAIM}]
    metadata: Object = {"name": "example", "annotations": {}, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


def _container(name: str, accelerator: str) -> Object:
    resources: Object = {"limits": {"memory": "16Gi"}, "requests": {"memory": "16Gi"}}
    if "/" in accelerator:
        resources["limits"][accelerator] = resources["requests"][accelerator] = "1"
    else:
        resources["claims"] = [{"name": _CLAIM}]
    return {
        "name": name,
        "image": _IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [],
        "args": [],
        "env": [],
        "resources": resources,
    }


def _apply(pod: Object, group: Sequence[Fact], facts: Sequence[Fact], place: int, more: int) -> None:
    """Write into the pod what a group of all facts says of it; `place` is the element of each list that it is about."""
    for path in dict.fromkeys(fact.path for fact in group):
        parts = prefixes(path)
        about = [fact for fact in (group if "[]" in path else facts) if prefixes(fact.path)[-1] == parts[-1]]
        if parts[0] == "object" and len(parts) > 1 and any(not fact.negated for fact in about):
            _write(pod, [after[len(before) :] for before, after in pairwise(parts)], about, place, more)


def _write(holder: Any, steps: list[str], about: Sequence[Fact], place: int, more: int) -> None:
    """Follow the steps, making what is missing; a place that cannot be made is left alone."""
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        if step == "[]":
            if not isinstance(holder, list):
                return
            while len(holder) <= place:
                holder.append({} if following else "")
            if not following and not isinstance(holder[place], dict | list):
                holder[place] = _value(about, holder[place], more)
            holder = holder[place]
            continue
        name = step_of(step)
        if isinstance(holder, list):
            if not following and name not in holder:
                holder.append(name)  # `'--flag' in c.args`
            return
        if not isinstance(holder, dict):
            return
        if not following:
            if not isinstance(
                holder.get(name), dict | list
            ):  # what a pod is made of stays, whatever it is compared with
                holder[name] = _value(about, holder.get(name), more)
            return
        holder = holder.setdefault(name, [] if following == "[]" else {})


def _value(about: Sequence[Fact], present: Any, more: int) -> Any:
    """A value that these facts hold of; the present one where they only ask that there be one.

    `more` is by how much a number is to differ from one that it is compared with.
    """
    told = [fact for fact in about if not fact.negated]
    candidates = [value for fact in told if fact.relation in {"==", "in"} for value in fact.values]
    for value in candidates:
        if all(holds(fact, value) for fact in about):
            return value
    for fact in told:
        if fact.relation == "<" and isinstance(fact.values[0], int | float):
            return fact.values[0] + more
    begin, middle, end = (
        "".join(str(fact.values[0]) for fact in told if fact.relation == relation)
        for relation in ("startsWith", "contains", "endsWith")
    )
    if begin or middle or end:
        text = str(present) if isinstance(present, str) else ""
        if all(_is_in(fact, text) for fact in told):
            return text
        return f"{begin}{'' if middle in begin + end else middle}{end}"
    return "example" if present is None else present


def _is_in(fact: Fact, text: str) -> bool:
    wanted = str(fact.values[0]) if fact.values else ""
    tests = {"startsWith": text.startswith(wanted), "endsWith": text.endswith(wanted), "contains": wanted in text}
    return tests.get(fact.relation, True)


def _name_source(pod: Object, model: Model, name: str) -> None:
    """Let the pod name a source that the model allows, where the pod's author names it."""
    pattern = model.allow[0]
    bucket = "" if "/" in pattern[5:] else "example/"
    source = f"{pattern[:-1]}{bucket}{name}" if pattern.endswith("*") else pattern
    kind, text = model.source.kind, model.source.text
    for container in pod["spec"]["containers"]:
        if model.containers and container["name"] not in model.containers:
            continue
        if kind == "env" and all(entry.get("name") != text for entry in container["env"]):
            container["env"].append({"name": text, "value": source})
        elif kind == "arg" and not any(str(each).startswith(f"{text}=") for each in container["args"]):
            container["args"].append(f"{text}={source}")
    if kind == "annotation" and pod["metadata"]["annotations"].get(text) in {None, "example"}:
        pod["metadata"]["annotations"][text] = source
