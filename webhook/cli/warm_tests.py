"""WarmTest documents, read from files and made into cases that can be run."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from webhook.admission import admit
from webhook.admission.decision import Decision
from webhook.cli.documents import read_file
from webhook.cli.errors import CouldNotRun
from webhook.cli.options import DEFAULT_HYDRATOR_IMAGE
from webhook.cli.policy_sets import PolicySets
from webhook.cli.short_inventory import inventory_of
from webhook.cli.trial import Judgement, Situation, Trial, decided, difference
from webhook.cli.world import in_namespace, installation
from webhook.kube import Object, names
from webhook.kube.review import for_pod
from webhook.kube.workload import FoundPod, pods_of
from webhook.policy.explanation import explain
from webhook.policy.model import Origin, PolicySet
from webhook.policy.parse import TEST_KIND
from webhook.policy.problem import Problem, Source
from webhook.policy.warmtest import CaseDocument, SituationDocument, WarmTestDocument
from webhook.policy.yaml_tree import Document, read
from webhook.report.expectation import Miss, misses
from webhook.report.subset import merged
from webhook.sources.policy_files import TEST_DIRECTORIES, TEST_SUFFIXES

#: The expectations that speak of the pod as a whole: with these the reader is shown what became of it.
_OF_POD = frozenset({"unchanged", "pod", "env", "patchContains"})
_KIND = re.compile(rb"""kind["']?\s*:\s*["']?WarmTest\b""")


def holds_tests(file: Path) -> bool:
    """Whether a file is meant to hold WarmTests: by its name, else by a document in it."""
    if file.name.endswith(TEST_SUFFIXES):
        return True
    try:
        return _KIND.search(file.read_bytes()) is not None
    except OSError:
        return False


def trials(file: Path) -> list[Trial]:
    """The cases of a file, in its order. What is wrong with the file is a case that fails, and says so."""
    try:
        text = file.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        return [_broken(file, f"{file}: {error.strerror}", 1)]
    documents, problems = read(Source(str(file), text))
    found: list[Trial] = []
    for document in documents:
        if _of(document, "kind") == TEST_KIND and _of(document, "apiVersion") == names.API_VERSION:
            if document.sound:
                found += _trials(file, document, problems)
        elif file.name.endswith(TEST_SUFFIXES):
            message = f"a file of this name holds WarmTests alone: apiVersion: {names.API_VERSION}, kind: {TEST_KIND}"
            problems.append(Problem("P006", "error", str(file), document.root.line, 1, "", message))
    if not documents and not problems and file.name.endswith(TEST_SUFFIXES):
        problems.append(Problem("P006", "error", str(file), 1, 1, "", "no WarmTest in it"))
    if problems:
        found.insert(0, _broken(file, "\n".join(map(str, problems)), problems[0].line))
    return found


def _of(document: Document, key: str) -> Any:
    root = document.root.value
    node = root.get(key) if isinstance(root, dict) else None
    return None if node is None else node.value


def _broken(file: Path, message: str, line: int) -> Trial:
    def load(_: PolicySets) -> Situation:
        raise CouldNotRun(message)

    return Trial(
        file.name,
        "(the file)",
        str(file),
        line,
        str(file.parent),
        (),
        load,
        lambda *_: Judgement(),
        is_file_at_fault=True,
    )


def _trials(file: Path, document: Document, problems: list[Problem]) -> list[Trial]:
    try:
        test = WarmTestDocument.model_validate(document.root.data())
    except ValidationError as error:
        problems.extend(explain(error, document, WarmTestDocument))
        return []
    origin = Origin(str(file), document.root.line, dict(document.root.places()))
    around = file.parent
    places = tuple(str(around / place) for place in test.spec.policies) or (str(_beside(around)),)
    common = _Test(test.spec.defaults, places, around)
    found = []
    for index, case in enumerate(test.spec.cases):
        path = f"spec.cases[{index}]"
        found.append(
            Trial(
                suite=test.metadata.name,
                case=case.name,
                file=str(file),
                line=origin.at(path)[0],
                directory=str(around),
                policies=places,
                load=partial(_load, case, common, _Places(origin, path)),
                judge=partial(_judge, case, _Places(origin, f"{path}.expect")),
            )
        )
    return found


def _beside(directory: Path) -> Path:
    """Where the policies of a test are that does not say: around the directories that are for tests."""
    directory = directory.resolve()
    outer = next((each for each in (directory, *directory.parents) if each.name in TEST_DIRECTORIES), None)
    return directory if outer is None else outer.parent


class _Places:
    """Where the fields below one path of a document stand."""

    def __init__(self, origin: Origin, path: str) -> None:
        self._origin = origin
        self._path = path

    def at(self, *fields: str) -> tuple[str, int, int]:
        """File, line and column of a field, or of the nearest one around it that is there."""
        path = self._path
        for field in fields:
            path += field if field.startswith("[") else f".{field}"
        return self._origin.file, *self._origin.at(path)


class _Test(NamedTuple):
    """What the cases of one document have in common: the policies' places, and the directory that paths count from."""

    defaults: SituationDocument
    policies: tuple[str, ...]
    around: Path


def _load(case: CaseDocument, test: _Test, places: _Places, sets: PolicySets) -> Situation:
    found = sets.at(test.policies)
    given = _together(case, test.defaults)
    try:
        pod = _pod(given, test.around)
        namespace = given.namespace or pod.namespace or "default"
        inventory = None if given.inventory is None else inventory_of(given.inventory, namespace)
    except CouldNotRun as error:
        raise CouldNotRun(f"{':'.join(map(str, places.at()))}: {error.message}", hint=error.hint) from error
    image, level = given.settings.hydrator_image, given.settings.default_pod_security_level
    facts = installation(found, DEFAULT_HYDRATOR_IMAGE if image is None else image, level or "baseline", inventory)
    facts = replace(facts, settings=replace(facts.settings, image_volumes=given.settings.image_volumes or "auto"))
    unknown = "namespace_labels" in given.model_fields_set and given.namespace_labels is None
    labels = None if unknown else given.namespace_labels or {}
    sent = pod.pod
    for change in (test.defaults.merge, case.merge):
        if change is not None:
            sent = merged(sent, change)
    return Situation(for_pod(sent, namespace=namespace), in_namespace(facts, namespace, labels))


def _together(case: SituationDocument, defaults: SituationDocument) -> SituationDocument:
    """The case with the defaults for what it leaves out: its pod replaces theirs, whichever form the two have."""
    own = {name: getattr(case, name) for name in case.model_fields_set if name in SituationDocument.model_fields}
    base = {name: getattr(defaults, name) for name in defaults.model_fields_set}
    if own.keys() & {"pod", "workload"}:
        for name in ("pod", "workload", "template"):
            base.pop(name, None)
    if "settings" in own and "settings" in base:
        fields = {**base["settings"].model_dump(exclude_unset=True), **own["settings"].model_dump(exclude_unset=True)}
        own["settings"] = type(own["settings"]).model_construct(**fields)
    return SituationDocument.model_construct(_fields_set={*base, *own}, **{**base, **own})


def _pod(given: SituationDocument, around: Path) -> FoundPod:
    field, value = ("pod", given.pod) if given.pod is not None else ("workload", given.workload)
    if value is None:
        raise CouldNotRun("neither the case nor defaults has a pod or a workload")
    contents: list[Any] = [value]
    where = field
    if isinstance(value, str):
        where = str(around / value)
        contents = [document.content for document in read_file(around / value)]
    elif field == "pod":
        contents = [{"apiVersion": "v1", "kind": "Pod", **value}]
    found = [pod for content in contents for pod in pods_of(content)]
    if given.template is not None:
        paths = list(dict.fromkeys(pod.path for pod in found))
        found = [pod for pod in found if pod.path == given.template]
        if not found:
            raise CouldNotRun(f"{where}: no pod template at {given.template!r}; there: {', '.join(paths) or 'none'}")
    if not found:
        raise CouldNotRun(f"{where}: no pod in it")
    return found[0]


def _judge(case: CaseDocument, places: _Places, made: Situation, decision: Decision) -> Judgement:
    sent: Object = made.request.object or {}
    missed = misses(case.expect, sent, decision)
    if missed:
        told = sorted((places.at(*miss.at), number, miss) for number, miss in enumerate(missed))
        lines = []
        for (file, line, column), _, miss in told:
            lines.append(f"{file}:{line}:{column}: {_field(miss)}: {miss.message}")
            if miss.wanted is not None:
                lines.append(difference(miss.wanted, miss.found, ("expected", "decided")))
        with_pod = any(not _OF_POD.isdisjoint(miss.at[:2]) for miss in missed)
        return Judgement(("\n".join([*lines, decided(made, decision, with_pod=with_pod)]),))
    if not misses(case.expect, sent, admit(made.request, replace(made.facts, policies=PolicySet()))):
        return Judgement(notes=(_IDLE,))
    return Judgement()


def _field(miss: Miss) -> str:
    """The field of `expect` that does not hold; what stands below it, the message says itself."""
    return ".".join(miss.at[:2]) if miss.at[0] == "would" else miss.at[0]


_IDLE = "this case would pass without any policy; let it say which policy should be skipped, and why (skipped: {...})"
