"""What is sound in policies but probably not meant. Codes are stable; `docs/lint.md` says what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from webhook.lint import (
    aws_config,
    choices,
    clash,
    conditions,
    contradictions,
    deliveries,
    environment,
    expressions,
    ignores,
    memory,
    nesting,
    node_review,
    places,
    redundancy,
    security,
)
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.ignores import Ignored, silenced
from webhook.lint.texts import Texts
from webhook.nodeclass.documents import NodeDocuments
from webhook.nodeclass.documents import read as read_nodes
from webhook.policy.legibility import shown
from webhook.policy.model import Origin, PolicySet
from webhook.policy.parse import parse
from webhook.policy.problem import Problem, Source

MODULES: tuple[ModuleType, ...] = (
    ignores,
    choices,
    clash,
    expressions,
    contradictions,
    conditions,
    deliveries,
    environment,
    aws_config,
    memory,
    nesting,
    places,
    redundancy,
    security,
)
"""The modules of checks: each has CODES and CHECKS (`webhook.lint.check`)."""

CODES: Codes = {code: meaning for module in (*MODULES, node_review) for code, meaning in sorted(module.CODES.items())}
"""Every lint code, how severe it is, and its subject. Codes are never reused."""

_CHECKS: tuple[Check, ...] = tuple(check for module in MODULES for check in module.CHECKS)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say of files of policies: what is left of it, and what comments silence.

    `nodes` are the documents of nodes and volumes that the policies were held against.
    """

    policies: PolicySet
    problems: tuple[Problem, ...]
    ignored: tuple[Ignored, ...]
    nodes: NodeDocuments = field(default_factory=NodeDocuments)


def review(
    sources: Sequence[Source], manifests: Manifests = (), *, nodes: Sequence[Source] = (), heed_comments: bool = True
) -> Report:
    """Read policy files, and return every problem of theirs: those of reading, and lint's own.

    `nodes` are files of node classes, node pools and volumes: they are looked at too, by themselves and beside the
    policies.
    """
    policies = parse(sources)
    problems = [*policies.problems, *lint(policies, manifests, sources)]
    documents = read_nodes(nodes)
    problems += node_review.review_nodes(documents, policies)
    ignored: list[Ignored] = []
    if heed_comments:
        problems, ignored = silenced(problems, Texts.of((*sources, *nodes)), CODES)
    return Report(policies, tuple(node_review.in_order(problems)), tuple(ignored), documents)


def lint(policy_set: PolicySet, manifests: Manifests = (), sources: Iterable[Source] = ()) -> list[Problem]:
    """Return what should be looked at, by file and line. Policies that were left out are not looked at.

    With the `sources` that the policies were read from, places are exact to the character.
    """
    texts = Texts.of(sources)
    found = {_problem(origin, finding, texts) for check in _CHECKS for origin, finding in check(policy_set, manifests)}
    return sorted(found, key=lambda each: (each.file, each.line, each.column, each.code, each.message))


def _problem(origin: Origin, finding: Finding, texts: Texts) -> Problem:
    message, hint = shown(finding.message, 500), shown(finding.hint, 500)
    place = texts.place(origin, finding)
    return Problem(finding.code, CODES[finding.code][0], origin.file, *place, finding.path, message, hint)
