"""What a test expects of a decision, held against it: what does not hold, and what is there instead.

Nothing here decides anything. Where an expectation names what does not exist (a policy, a container), that is a miss
and never a pass: a test that cannot fail is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from webhook.admission.changes import PARTS, changes
from webhook.admission.decision import Decision, PolicyVerdict
from webhook.kube import Object
from webhook.kube import pod as pods
from webhook.policy.finding import suggestion
from webhook.policy.warmtest import ExpectDocument, ResultDocument
from webhook.report.subset import at, lacking, said, same

Path = tuple[str, ...]
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Miss:
    """An expectation that does not hold. `at` leads to its field; `wanted` and `found` are given where a diff helps."""

    at: Path
    message: str
    wanted: Any = None
    found: Any = None


class _Made(NamedTuple):
    """What became of a pod, or would."""

    pod: Object | None
    patch: list[Object]
    seconds: float


def misses(expect: ExpectDocument, sent: Object, decision: Decision) -> list[Miss]:
    """Every expectation that does not hold of what became of the pod that was sent, in the order of the fields."""
    found = list(_verdicts(expect, decision))
    if expect.denied is not None:
        found += _denied(expect.denied, decision)
    if expect.warnings is not None:
        found += _warnings(expect.warnings, decision.warnings)
    made = _Made(decision.pod, decision.patch, decision.seconds_saved)
    found += _result(expect, sent, made, ())
    if expect.would is not None:
        # Where no policy in Audit matched, nothing else would become of the pod than what does.
        if decision.would_patch or decision.would_pod is not decision.pod:
            made = _Made(decision.would_pod, decision.would_patch, decision.would_seconds_saved)
        found += _result(expect.would, sent, made, ("would",))
    return found


def _verdicts(expect: ExpectDocument, decision: Decision) -> Iterator[Miss]:
    verdicts = {verdict.name: verdict for verdict in decision.policies}
    if expect.matched == []:
        for name, verdict in verdicts.items():
            if verdict.result == "matched":
                yield Miss(("matched",), f"no policy should match, {name} did")
    for index, name in enumerate(expect.matched or ()):
        where = ("matched", f"[{index}]")
        if name not in verdicts:
            yield _unknown(where, name, verdicts)
        elif verdicts[name].result != "matched":
            yield Miss(where, f"{name} did not match, it {_told(verdicts[name])}")
    for field, result, wanted in (
        ("skipped", "skipped", expect.skipped),
        ("errored", "errored", expect.errored),
    ):
        for name, glob in (wanted or {}).items():
            if name not in verdicts:
                yield _unknown((field, name), name, verdicts)
            elif verdicts[name].result != result:
                word = "be skipped" if field == "skipped" else "fail"
                yield Miss((field, name), f"{name} should {word}, it {_told(verdicts[name])}")
            elif not fnmatchcase(verdicts[name].reason, glob):
                yield Miss((field, name), f"{name} {_told(verdicts[name])}; expected was {said(glob)}")


def _told(verdict: PolicyVerdict) -> str:
    word = {"matched": "matched", "skipped": "was skipped", "errored": "failed"}[verdict.result]
    # What a policy that matched did is told with the decision, and may be long.
    return word if verdict.result == "matched" else f"{word}: {verdict.reason}"


def _unknown(where: Path, name: str, known: Mapping[str, Any]) -> Miss:
    hint = suggestion(name, known)
    return Miss(where, f"there is no policy {said(name)} here; {hint}" if hint else "there is no policy here at all")


def _denied(wanted: bool | str, decision: Decision) -> Iterator[Miss]:
    where = ("denied",)
    if decision.allowed:
        if wanted is not False:
            yield Miss(where, "the pod should be refused, it is admitted")
    elif wanted is False:
        yield Miss(where, f"the pod should be admitted, it is refused: {decision.message}")
    elif isinstance(wanted, str) and not fnmatchcase(decision.message, wanted):
        yield Miss(where, f"the pod is refused with another message: {decision.message}; expected was {said(wanted)}")


def _warnings(globs: Sequence[str], warnings: Sequence[str]) -> Iterator[Miss]:
    if not globs and warnings:
        yield Miss(("warnings",), f"no warning is expected, there is {said(warnings[0])}")
    for index, glob in enumerate(globs):
        if not any(fnmatchcase(text, glob) for text in warnings):
            there = "; ".join(warnings) or "none"
            yield Miss(("warnings", f"[{index}]"), f"no warning is like {said(glob)}; there: {there}")


def _result(expect: ResultDocument, sent: Object, made: _Made, under: Path) -> Iterator[Miss]:
    patch = made.patch
    pod = sent if made.pod is None else made.pod
    told = changes(sent, made.pod)
    if expect.unchanged and patch:
        yield Miss((*under, "unchanged"), f"the pod should not change, but it does: {told.text or 'see the patch'}")
    if expect.changes is not None and set(told.parts) != set(expect.changes):
        wanted = [part for part in PARTS if part in expect.changes]
        more = [part for part in told.parts if part not in wanted]
        less = [part for part in wanted if part not in told.parts]
        parts = [f"{word}: {', '.join(some)}" for word, some in (("missing", less), ("unexpected", more)) if some]
        yield Miss((*under, "changes"), f"{'; '.join(parts)}{'' if told.parts else ' (nothing changes)'}")
    for path, wanted_value in (expect.pod or {}).items():
        for message in lacking(wanted_value, at(pod, path), path):
            yield Miss((*under, "pod", path), message)
    yield from _env(expect.env or {}, sent, pod, (*under, "env"))
    if expect.patch is not None and not same(expect.patch, patch):
        yield Miss((*under, "patch"), "the patch is another one", expect.patch, patch)
    for index, operation in enumerate(expect.patch_contains or ()):
        if not any(not list(lacking(operation, each, "")) for each in patch):
            near = [each for each in patch if each.get("path") == operation.get("path")]
            there = f"there: {said(near[0])}" if near else f"it changes {_paths(patch)}"
            yield Miss((*under, "patchContains", f"[{index}]"), f"no operation is like {said(operation)}; {there}")
    if expect.seconds_saved is not None:
        least, most = expect.seconds_saved.min, expect.seconds_saved.max
        shown = round(made.seconds, 1)
        if least is not None and shown < least:
            yield Miss((*under, "secondsSaved", "min"), f"at least {least:g} s should be saved, {shown:g} s are")
        if most is not None and shown > most:
            yield Miss((*under, "secondsSaved", "max"), f"at most {most:g} s should be saved, {shown:g} s are")


def _paths(patch: Iterable[Object]) -> str:
    return ", ".join(str(each.get("path")) for each in patch) or "nothing"


def _env(wanted: Mapping[str, Mapping[str, str | None]], sent: Object, pod: Object, under: Path) -> Iterator[Miss]:
    containers = {str(each.get("name")): each for _, _, each in pods.every_container(pod)}
    before = {str(each.get("name")): each for _, _, each in pods.every_container(sent)}
    for name, variables in wanted.items():
        if name not in containers:
            hint = suggestion(name, containers)
            yield Miss((*under, name), f"the pod has no container {said(name)}; {hint}")
            continue
        for variable, value in variables.items():
            entry = _entry(containers[name], variable)
            if value is None and entry is None:
                continue
            if value is not None and entry is not None and entry.get("value", _MISSING) == value:
                continue
            own = entry is not None and entry == _entry(before.get(name, {}), variable)
            there = _shown(entry) + (", the pod's own" if own else "")
            should = f"should be {said(value)}" if value is not None else "should not be set"
            yield Miss((*under, name, variable), f"{variable} of container {name} {should}, is {there}")


def _entry(container: Object, name: str) -> Object | None:
    # Of two entries of one name the kubelet takes the last.
    found = [entry for entry in pods.objects(container.get("env")) if entry.get("name") == name]
    return found[-1] if found else None


def _shown(entry: Object | None) -> str:
    if entry is None:
        return "not set"
    return "read from elsewhere (valueFrom)" if "valueFrom" in entry else said(entry.get("value", ""))
