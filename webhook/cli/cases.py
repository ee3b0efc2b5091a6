"""The cases that stand beside policies: a pod, the facts of its world, and the decision one expects.

A case is a directory `<policy directory>/cases/<case>/` of exactly three files: `input.yaml` (a pod, or a workload
whose first pod counts), `facts.yaml` and `expected.yaml`. `webhook.cli.warm_tests` has the other form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from webhook.admission.decision import Decision, Facts
from webhook.cel import Environment
from webhook.cli.documents import read_file
from webhook.cli.errors import CouldNotRun
from webhook.cli.options import DEFAULT_HYDRATOR_IMAGE
from webhook.cli.policy_sets import PolicySets
from webhook.cli.previews import decision_json
from webhook.cli.render import yaml_text
from webhook.cli.trial import Judgement, Outcome, Situation, Trial, difference
from webhook.cli.trial import run as run_trial
from webhook.cli.warm_tests import holds_tests
from webhook.cli.world import in_namespace, installation
from webhook.inventory.snapshot import UnreadableSnapshot, decode
from webhook.kube.review import AdmissionRequest, for_pod
from webhook.kube.workload import FoundPod, pods_of
from webhook.policy.model import PolicySet
from webhook.report.subset import same
from webhook.sources.policy_files import SUFFIXES, TEST_SUFFIXES

FILES: Final = ("input.yaml", "facts.yaml", "expected.yaml")
FACTS: Final = frozenset({"namespace", "namespaceLabels", "inventory", "settings"})
SETTINGS: Final = frozenset({"hydratorImage", "defaultPodSecurityLevel", "imageVolumes"})


@dataclass(frozen=True, slots=True)
class Case:
    """One case directory, and the directory of the policies it is about."""

    directory: Path
    policies: Path

    @property
    def name(self) -> str:
        """`<policy directory>/<case>`, as people call it."""
        return f"{self.policies.resolve().name}/{self.directory.name}"


def find(roots: Sequence[str]) -> list[Case]:
    """All cases at or below the given directories, in name order, each once. Raises CouldNotRun for what is none."""
    found: dict[Path, Case] = {}
    for root in map(Path, roots):
        if not root.is_dir():
            raise CouldNotRun(f"{root}: no such directory", hint="`warmpod test` takes directories that hold policies")
        if root.resolve().parent.name == "cases":
            found[root.resolve()] = Case(root, root.resolve().parent.parent)
            continue
        folders = [root] if root.resolve().name == "cases" else sorted(root.rglob("cases"))
        for folder in filter(Path.is_dir, folders):
            for entry in sorted(folder.iterdir()):
                if _holds_other_tests(entry):
                    continue
                found.setdefault(
                    entry.resolve(), Case(entry, folder.parent if folder != root else folder.resolve().parent)
                )
    return list(found.values())


def _holds_other_tests(entry: Path) -> bool:
    """Whether an entry of `cases` is a file of WarmTests, or a directory of nothing but those."""
    if entry.is_dir():
        within = [each.name for each in entry.iterdir()]
        return not set(FILES).intersection(within) and any(name.endswith(TEST_SUFFIXES) for name in within)
    return entry.suffix in SUFFIXES and holds_tests(entry)


def trial(case: Case, *, update: bool = False) -> Trial:
    """The case as one to be run; with `update`, what is decided is written into `expected.yaml`."""
    return Trial(
        suite=case.policies.resolve().name,
        case=case.directory.name,
        file=str(case.directory / "expected.yaml"),
        line=1,
        directory=str(case.directory),
        policies=(str(case.policies),),
        load=partial(_load, case, update=update),
        judge=partial(_update if update else _judge, case),
    )


def run(case: Case, *, update: bool = False, environment: Environment | None = None) -> Outcome:
    """Run one case, with `update` writing what was decided into `expected.yaml`. Never raises for what a file holds."""
    return run_trial(trial(case, update=update), PolicySets(environment))


def _load(case: Case, policies: PolicySets, *, update: bool) -> Situation:
    stray = _stray(case.directory, update=update)
    if stray:
        raise CouldNotRun("\n".join(stray))
    return Situation(*situation(case, policies.at([str(case.policies)])))


def _judge(case: Case, made: Situation, decision: Decision) -> Judgement:
    del made
    file = case.directory / "expected.yaml"
    expected, actual = _one(file), decision_json(decision)
    if same(expected, actual):
        return Judgement()
    shown = difference(_ordered(expected), _ordered(actual), ("expected", "decided"))
    return Judgement((f"{file}: the decision is another one\n{shown}",))


def _update(case: Case, made: Situation, decision: Decision) -> Judgement:
    del made
    file = case.directory / "expected.yaml"
    text = yaml_text(_ordered(decision_json(decision)))
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return Judgement()
    file.write_text(text, encoding="utf-8")
    return Judgement(updated=True)


def _stray(directory: Path, *, update: bool) -> tuple[str, ...]:
    """Files a case lacks or should not have; a missing `expected.yaml` is what `update` is for."""
    if not directory.is_dir():
        return (f"{directory}: a file beside the cases; every case is a directory",)
    present = {entry.name for entry in directory.iterdir()}
    missing = [name for name in FILES if name not in present and not (update and name == "expected.yaml")]
    lost = [f"{directory / name}: missing{_REMEDY.get(name, '')}" for name in missing]
    extra = [f"{directory / name}: not part of a case" for name in sorted(present.difference(FILES))]
    return (*lost, *extra)


_REMEDY = {"expected.yaml": " (`warmpod test --update` writes it)"}


def situation(case: Case, policies: PolicySet) -> tuple[AdmissionRequest, Facts]:
    """The review of a case and the facts of its world, under any policies. Raises CouldNotRun for what a file holds."""
    found = _first_pod(case.directory / "input.yaml")
    file = case.directory / "facts.yaml"
    given = _fields(_one(file), FACTS, str(file))
    chosen = _fields(given.get("settings") or {}, SETTINGS, f"{file}: settings")
    inventory = None
    if given.get("inventory") is not None:
        try:
            inventory = decode(json.dumps(given["inventory"]).encode())
        except UnreadableSnapshot as error:
            raise CouldNotRun(f"{file}: inventory: {error}") from error
    try:
        facts = installation(
            policies,
            chosen.get("hydratorImage", DEFAULT_HYDRATOR_IMAGE),
            chosen.get("defaultPodSecurityLevel", "baseline"),
            inventory,
        )
    except ValueError as error:
        raise CouldNotRun(f"{file}: settings: {error}") from error
    image_volumes = chosen.get("imageVolumes", "auto")
    if image_volumes not in ("auto", "on", "off"):
        raise CouldNotRun(f"{file}: settings: imageVolumes must be auto, on or off (in quotes)")
    facts = replace(facts, settings=replace(facts.settings, image_volumes=image_volumes))
    namespace = given.get("namespace") or found.namespace or "default"
    # A key with no value says that nobody knows the labels; leaving the key out says that there are none.
    labels = given.get("namespaceLabels", {})
    if not isinstance(namespace, str) or not (labels is None or _is_labels(labels)):
        raise CouldNotRun(f"{file}: namespace must be a string and namespaceLabels a map of strings, or empty")
    return for_pod(found.pod, namespace=namespace), in_namespace(facts, namespace, labels)


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _first_pod(file: Path) -> FoundPod:
    pods: Iterator[FoundPod] = (
        pod for document in read_file(file) if isinstance(document.content, dict) for pod in pods_of(document.content)
    )
    found = next(pods, None)
    if found is None:
        raise CouldNotRun(f"{file}: no pod in it")
    return found


def _one(file: Path) -> Any:
    documents = read_file(file)
    if len(documents) > 1:
        raise CouldNotRun(f"{file}:{documents[1].line}: a second document; one is wanted")
    return documents[0].content if documents else {}


def _fields(value: Any, known: frozenset[str], where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise CouldNotRun(f"{where}: not a map")
    for name in value:
        if name not in known:
            raise CouldNotRun(f"{where}: unknown field {name!r}", hint=f"known: {', '.join(sorted(known))}")
    return value


def _ordered(expected: Any) -> Any:
    """The same with keys in one order, so that rewriting a file changes only the lines that mean something else."""
    if not isinstance(expected, dict):
        return expected
    return {
        key: [_by_rank(each) for each in value] if isinstance(value, list) else value for key, value in expected.items()
    }


def _by_rank(value: Any) -> Any:
    """`name`, `op` and `path` first, the rest of an entry's keys by the alphabet, all the way down."""
    if isinstance(value, list):
        return [_by_rank(each) for each in value]
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (_RANK.get(key, len(_RANK)), key))
        return {key: _by_rank(value[key]) for key in keys}
    return value


_RANK: Final = {"name": 0, "mode": 1, "result": 2, "op": 3, "path": 4}
