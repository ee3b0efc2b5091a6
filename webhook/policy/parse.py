"""Policy files to a PolicySet. Whatever the files hold, the answer is a set and a list of problems, never an exception.

One bad document takes out itself and the policies that need it, nothing else. What a document is comes first
(`_Header`), then caches and profiles, then the policies that refer to them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from webhook.cel import Environment
from webhook.cel import environment as best_environment
from webhook.policy import resolve
from webhook.policy.document import (
    API_VERSION,
    KINDS,
    AnyDocument,
    ClientProfileDocument,
    NodeCacheDocument,
    WarmPolicyDocument,
)
from webhook.policy.explanation import explain
from webhook.policy.finding import suggestion
from webhook.policy.legibility import shown
from webhook.policy.model import ClientProfile, NodeCache, Origin, PolicySet
from webhook.policy.problem import Problem, Source
from webhook.policy.scope import Scope
from webhook.policy.yaml_tree import Document, Node, read

__all__ = ["MAX_FILES", "MAX_PROBLEMS", "MAX_TOTAL_BYTES", "Problem", "Source", "parse"]

MAX_FILES = 2_000
MAX_TOTAL_BYTES = 16 << 20
MAX_PROBLEMS = 100  # told of one file

#: Tests may stand in the file of what they test; `warmpod test` reads them, and nothing else does.
TEST_KIND = "WarmTest"
_GROUP = API_VERSION.partition("/")[0]


def parse(sources: Sequence[Source], environment: Environment | None = None) -> PolicySet:
    """Return the policies that the files hold, and what is wrong with the rest. The first of a name stays."""
    return _Parser(environment or best_environment()).parse(sources)


@dataclass(frozen=True, slots=True)
class _Header:
    """A document of ours, and what it says it is."""

    kind: str
    name: str
    document: Document

    @property
    def place(self) -> str:
        return f"{self.document.file}:{self.document.root.line}"


class _Parser:
    def __init__(self, cel: Environment) -> None:
        self._scope = Scope(cel)
        self._problems: list[Problem] = []
        self._content: list[Any] = []

    def parse(self, sources: Sequence[Source]) -> PolicySet:
        headers = list(self._unique(self._headers(self._documents(sources))))
        caches: dict[str, NodeCache] = {}
        profiles: dict[str, ClientProfile] = {}
        known: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        for header in headers:
            if header.kind == "WarmPolicy":
                continue
            checked = self._checked(header)
            if header.name:
                known[header.kind][header.name] = "" if checked else header.place
            match checked:
                case NodeCacheDocument():
                    caches[checked.metadata.name] = resolve.node_cache(checked, _origin(header))
                case ClientProfileDocument():
                    profiles[checked.metadata.name] = resolve.client_profile(checked, _origin(header))
                case _:
                    pass
        self._scope.caches, self._scope.profiles = known["NodeCache"], known["ClientProfile"]
        resolver = resolve.PolicyResolver(self._scope, caches, profiles)
        policies = []
        for header in headers:
            checked = self._checked(header) if header.kind == "WarmPolicy" else None
            if isinstance(checked, WarmPolicyDocument):
                policies.append(resolver.policy(checked, _origin(header)))
        return PolicySet(
            policies=tuple(sorted(policies, key=lambda policy: policy.name)),
            digest=self._digest(),
            problems=self._told(),
            caches=tuple(caches[name] for name in sorted(caches)),
            profiles=tuple(profiles[name] for name in sorted(profiles)),
        )

    def _documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        total = 0
        for count, source in enumerate(sources, 1):
            total += len(source.text)
            if count > MAX_FILES or total > MAX_TOTAL_BYTES:
                limit = f"{MAX_FILES} files" if count > MAX_FILES else f"{MAX_TOTAL_BYTES >> 20} MiB"
                self._refuse(
                    "P005",
                    source.file,
                    None,
                    f"more than {limit} of policies; this file and those after it are not read",
                )
                return
            documents, problems = read(source)
            self._problems.extend(problems)
            yield from documents

    def _headers(self, documents: Iterator[Document]) -> Iterator[_Header]:
        for document in documents:
            root = document.root
            if not isinstance(root.value, dict):
                self._refuse(
                    "P006", document.file, root, "a document must be a mapping with apiVersion, kind, metadata and spec"
                )
                continue
            version, kind = _text(root, "apiVersion"), _text(root, "kind")
            if version != API_VERSION:
                self._refuse("P006", document.file, root.value.get("apiVersion", root), *_version_fault(version))
            elif kind == TEST_KIND:
                continue
            elif kind not in KINDS:
                message = f'there is no kind "{shown(kind)}" in {API_VERSION}' if kind else "kind is missing"
                self._refuse("P006", document.file, root.value.get("kind", root), message, suggestion(kind, KINDS))
            else:
                metadata = root.value.get("metadata")
                yield _Header(kind, _text(metadata, "name") if metadata else "", document)

    def _unique(self, headers: Iterator[_Header]) -> Iterator[_Header]:
        first: dict[tuple[str, str], _Header] = {}
        for header in headers:
            key = (header.kind, header.name)
            if header.name and key in first:
                message = f'{header.kind} "{shown(header.name)}" is already defined at {first[key].place}, which stays'
                node = header.document.root.value["metadata"].value["name"]
                self._refuse("P030", header.document.file, node, message, "rename or remove one of the two")
                continue
            first[key] = header
            yield header

    def _checked(self, header: _Header) -> AnyDocument | None:
        data, document = header.document.root.data(), header.document
        model = KINDS[header.kind]
        try:
            checked = model.model_validate(data, context=self._scope)
        except ValidationError as error:
            taken = {(each.file, each.line, each.column) for each in self._problems}
            found = explain(error, document, model)
            self._problems.extend(each for each in found if (each.file, each.line, each.column) not in taken)
            return None
        if not document.sound:
            return None
        self._content.append(data)
        return checked

    def _digest(self) -> str:
        self._content.sort(key=lambda data: (data["kind"], data["metadata"]["name"]))
        return hashlib.sha256(json.dumps(self._content, sort_keys=True).encode()).hexdigest()

    def _told(self) -> tuple[Problem, ...]:
        ordered = sorted(
            set(self._problems), key=lambda each: (each.file, each.line, each.column, each.code, each.message)
        )
        told: list[Problem] = []
        counts: dict[str, int] = {}
        for problem in ordered:
            counts[problem.file] = counts.get(problem.file, 0) + 1
            if counts[problem.file] <= MAX_PROBLEMS:
                told.append(problem)
        for file, count in counts.items():
            if count > MAX_PROBLEMS:
                told.append(
                    Problem("P005", "error", file, 1, 1, "", f"{count - MAX_PROBLEMS} more problems in this file")
                )
        return tuple(told)

    def _refuse(self, code: str, file: str, node: Node | None, message: str, hint: str = "") -> None:
        line, column = (node.line, node.column) if node else (1, 1)
        self._problems.append(Problem(code, "error", file, line, column, "", message, hint))


def _text(node: Node, key: str) -> str:
    child = node.value.get(key) if isinstance(node.value, dict) else None
    return child.value if child is not None and isinstance(child.value, str) else ""


def _version_fault(version: str) -> tuple[str, str]:
    if not version:
        return "apiVersion is missing", f"a policy begins with apiVersion: {API_VERSION}"
    if version.partition("/")[0] == _GROUP:
        return (
            f'this Warmpod does not know version "{shown(version)}"',
            f"it knows {API_VERSION}: change it or update Warmpod",
        )
    hint = f"keep only {API_VERSION} documents among the policies; lint reads node classes and volumes by --nodes"
    return f'apiVersion "{shown(version)}" is not a policy\'s', hint


def _origin(header: _Header) -> Origin:
    root = header.document.root
    return Origin(header.document.file, root.line, dict(root.places()))
