"""One review for each pod in a stream of documents, and its outcome as diff, JSON or YAML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.cli.documents import Document
from webhook.cli.errors import CouldNotRun, printable
from webhook.cli.progress import tracked
from webhook.cli.render import diff_text, json_text, yaml_text
from webhook.cli.world import in_namespace
from webhook.kube import Object
from webhook.kube.review import for_pod
from webhook.kube.workload import pods_of


@dataclass(frozen=True, slots=True)
class Review:
    """A pod on its way into a cluster. `source` is `FILE:LINE`, and the path of the pod in its document.

    `kind` and `name` are those of the object that holds it; `labels` are its namespace's, None when nobody knows them.
    """

    source: str
    kind: str
    namespace: str
    name: str
    sent: Object
    labels: Mapping[str, str] | None

    def decided(self, facts: Facts) -> Decision:
        """What would happen to it."""
        mine = in_namespace(facts, self.namespace, self.labels)
        return admit(for_pod(self.sent, namespace=self.namespace), mine)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen to one pod; the fields of its review are its own."""

    source: str
    kind: str
    namespace: str
    name: str
    sent: Object
    decision: Decision

    @property
    def failed(self) -> bool:
        """Whether a person has to look: the pod is denied, a policy errored, or a result broke a law."""
        decision = self.decision
        errored = any(verdict.result == "errored" for verdict in decision.policies)
        return not decision.allowed or errored or bool(decision.violations)


def previews(found: Iterable[Review], facts: Facts) -> list[Preview]:
    """What would happen to each of these pods, in order."""
    return [
        Preview(one.source, one.kind, one.namespace, one.name, one.sent, one.decided(facts))
        for one in tracked(found, "pods")
    ]


def reviews(
    documents: Iterable[Document],
    *,
    namespace: str,
    labels: Mapping[str, str] | None,
    known: Mapping[str, Mapping[str, str] | None],
) -> Iterator[Review]:
    """Every pod of every document, in order.

    `labels` None: a namespace has the labels of its document in the same input, else those in `known`, else none.
    Raises CouldNotRun for a document that is no Kubernetes object.
    """
    documents = list(documents)
    known = {**known, **_namespaces(documents)}
    for document in documents:
        place = f"{document.file}:{document.line}" if document.line else document.file
        if not isinstance(document.content, (dict, list)):
            raise CouldNotRun(
                f"{place}: not a Kubernetes object but {_kind_of(document.content)}",
                hint="Warmpod reads YAML and JSON manifests",
            )
        for content in document.content if isinstance(document.content, list) else [document.content]:
            for found in pods_of(content) if isinstance(content, dict) else ():
                space = found.namespace or namespace
                mine = known.get(space, {}) if labels is None else labels
                yield Review(f"{place} {found.path}".rstrip(), found.kind, space, found.name, found.pod, mine)


def _namespaces(documents: list[Document]) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for content in _objects(document.content for document in documents):
        if content.get("kind") == "Namespace":
            metadata = content.get("metadata")
            if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
                labels = metadata.get("labels")
                pairs = labels.items() if isinstance(labels, dict) else ()
                found[metadata["name"]] = {key: value for key, value in pairs if isinstance(value, str)}
    return found


def _objects(contents: Iterable[Any]) -> Iterator[Object]:
    """The objects of documents, those of a List one by one."""
    for content in contents:
        if isinstance(content, dict):
            yield content
            members = content.get("items")
            content = members if isinstance(members, list) else []  # noqa: PLW2901 - a List is read as its members
        if isinstance(content, list):
            yield from (member for member in content if isinstance(member, dict))


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    return "a truth value" if isinstance(value, bool) else "a number"


def printed(items: list[Preview], output: str) -> str:
    """All previews in one of the formats `diff`, `json`, `yaml`."""
    if output == "json":
        return json_text({"items": [as_json(item) for item in items]})
    if output == "yaml":
        return "---\n".join(_stored(item) for item in items)
    return "\n".join(_told(item) for item in items)


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision as scripts and `expected.yaml` files see it.

    `secondsSaved` counts what `patch` saves, and `wouldSecondsSaved` what `wouldPatch` would, to 0.1 s.
    """
    return {
        "allowed": decision.allowed,
        "policies": [
            {"name": verdict.name, "mode": str(verdict.mode), "result": verdict.result, "reason": verdict.reason}
            for verdict in decision.policies
        ],
        "patch": decision.patch,
        "wouldPatch": decision.would_patch,
        "warnings": list(decision.warnings),
        "secondsSaved": round(decision.seconds_saved, 1),
        "wouldSecondsSaved": round(decision.would_seconds_saved, 1),
    }


def as_json(item: Preview) -> dict[str, Any]:
    """One item of `--output json`; `pod` is what the API server would store, before its own defaults."""
    return {
        "source": item.source,
        "kind": item.kind,
        "namespace": item.namespace,
        "name": item.name,
        "decision": decision_json(item.decision),
        "pod": _after(item),
    }


def _after(item: Preview) -> Object:
    return item.sent if item.decision.pod is None else item.decision.pod


def _stored(item: Preview) -> str:
    pod = {"apiVersion": "v1", "kind": "Pod", **_after(item)}
    return f"# {printable(item.source)}\n{yaml_text(pod)}"


def _told(item: Preview) -> str:
    decision = item.decision
    title = printable(f"{item.source}: {item.kind or 'Pod'} {item.namespace}/{item.name or '(unnamed)'}")
    lines = [click.style(title, bold=True)]
    if not decision.allowed:
        lines.append(click.style(f"  denied: {printable(decision.message)}", fg="red"))
    for verdict in decision.policies:
        word = click.style(f"{verdict.result:<8}", fg=_COLOURS[verdict.result])
        lines.append(f"  {word} {printable(f'{verdict.name} ({verdict.mode}): {verdict.reason}')}")
    if not decision.policies:
        lines.append("  no policy looked at this pod")
    lines += [f"  {click.style('warning', fg='yellow')}  {printable(text)}" for text in decision.warnings]
    text = "\n".join(lines) + "\n"
    if decision.patch:
        text += diff_text(item.sent, decision.pod, ("as sent", "warm"))
        text += _saving("saves", decision.seconds_saved)
    if decision.would_patch:
        text += "  in Audit, so withheld:\n" if not decision.patch else "  with the policies in Audit it would be:\n"
        text += diff_text(item.sent, decision.would_pod, ("as sent", "would be"))
        text += _saving("would save", decision.would_seconds_saved)
    if not decision.patch and not decision.would_patch:
        text += "  unchanged\n"
    return text


def _saving(verb: str, seconds: float) -> str:
    return f"  {verb} about {seconds:.0f} s of the start\n" if seconds >= 1 else ""


_COLOURS = {"matched": "green", "skipped": None, "errored": "red"}
