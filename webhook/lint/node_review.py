"""Every finding about node classes, node pools and volumes. Codes are stable; `docs/lint.md` says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from webhook.lint import (
    node_caches,
    node_devices,
    node_images,
    node_lustre,
    node_mountpoint,
    node_pools,
    node_user_data,
    node_zones,
)
from webhook.lint.check import Codes
from webhook.lint.node_check import NodeCheck, Nodes, problem
from webhook.nodeclass.documents import NodeDocuments
from webhook.policy.model import PolicySet
from webhook.policy.problem import Problem

MODULES: tuple[ModuleType, ...] = (
    node_user_data,
    node_images,
    node_devices,
    node_pools,
    node_mountpoint,
    node_lustre,
    node_zones,
    node_caches,
)
"""The modules of checks: each has CODES and CHECKS (`webhook.lint.node_check`)."""

CODES: Codes = {code: meaning for module in MODULES for code, meaning in sorted(module.CODES.items())}
_CHECKS: tuple[NodeCheck, ...] = tuple(check for module in MODULES for check in module.CHECKS)


def review_nodes(documents: NodeDocuments, policies: PolicySet | None = None) -> list[Problem]:
    """Return what is wrong with documents of nodes and volumes, by file and line; with policies, beside these.

    What kept a document from being read (`documents.problems`) is part of it.
    """
    nodes = Nodes.of(documents, policies if policies is not None else PolicySet())
    found = {problem(document, finding, CODES) for check in _CHECKS for document, finding in check(nodes)}
    return in_order([*documents.problems, *found])


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By place, each once."""
    return sorted(set(problems), key=lambda each: (each.file, each.line, each.column, each.code, each.message))
