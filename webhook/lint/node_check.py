"""What a check of node classes and volumes is, and how its findings get their places.

A module of checks has two tables, as those of policies have (`webhook.lint.check`); `node_review.MODULES` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from webhook.kube import quantity
from webhook.lint.check import Codes, Finding
from webhook.lint.texts import node_at
from webhook.nodeclass.documents import NODE_POOL, NodeDocument, NodeDocuments
from webhook.nodeclass.fault import Fault
from webhook.nodeclass.node_class import NodeClass, node_classes
from webhook.policy.explanation import within
from webhook.policy.legibility import shown
from webhook.policy.model import NodeCache, PolicySet
from webhook.policy.problem import Problem

USER_DATA = "spec.userData"


@dataclass(frozen=True, slots=True)
class Nodes:
    """What is known of nodes and volumes: the documents, the node classes among them, and the policies in force."""

    documents: NodeDocuments
    policies: PolicySet = field(default_factory=PolicySet)
    classes: tuple[NodeClass, ...] = ()

    @staticmethod
    def of(documents: NodeDocuments, policies: PolicySet) -> Nodes:
        """These documents beside these policies."""
        return Nodes(documents, policies, node_classes(documents))

    def pools_of(self, node_class: NodeClass) -> tuple[NodeDocument, ...]:
        """The node pools that make nodes of a class."""
        return tuple(
            each
            for each in self.documents.of(NODE_POOL)
            if each.at("spec", "template", "spec", "nodeClassRef", "name") == node_class.name
            and each.at("spec", "template", "spec", "nodeClassRef", "kind") == node_class.document.kind
        )


NodeCheck = Callable[[Nodes], Iterator[tuple[NodeDocument, Finding]]]
"""Yields findings with the document that each is in. Never raises, whatever the documents hold."""


def in_user_data(node_class: NodeClass, fault: Fault) -> tuple[NodeDocument, Finding]:
    """Return a fault of user data as a finding at its line."""
    at = (fault.line, fault.column)
    return node_class.document, Finding(fault.code, USER_DATA, fault.message, fault.hint, at)


def problem(document: NodeDocument, finding: Finding, codes: Codes) -> Problem:
    """Return a finding with its place in the file."""
    found = node_at(document.root, finding.path)
    if found is None:
        line, column = document.origin.at(finding.path)
    else:
        node, key = found
        line, column = node.line, node.column
        if finding.within is not None and isinstance(node.value, str):
            line, column = within(node, *finding.within)
        elif key is not None and (finding.on_key or isinstance(node.value, dict | list)):
            line, column = key  # what is missing in a mapping is missing below its name
    severity = codes[finding.code][0] if finding.code in codes else "error"
    message, hint = shown(finding.message, 500), shown(finding.hint, 500)
    return Problem(finding.code, severity, document.file, line, column, finding.path, message, hint)


def host_path(cache: NodeCache) -> str:
    """Return the node's directory that a cache is; empty where its volume is of another kind."""
    given = cache.volume.get("hostPath")
    path = given.get("path") if isinstance(given, dict) else None
    return path if isinstance(path, str) else ""


def gibibytes(size: int) -> str:
    """Return bytes as people write a volume's size."""
    return quantity.format(size, "Gi")
