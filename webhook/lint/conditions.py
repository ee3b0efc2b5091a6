"""What the answers of a policy's expressions tell: conditions that decide nothing, and errors that pods will meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from webhook.lint.answers import Answers, answers
from webhook.lint.check import Check, Codes, Finding, Manifests
from webhook.lint.contradictions import contradictions
from webhook.lint.expressions import structure_findings
from webhook.lint.growth import lacks
from webhook.lint.pod_fields import prefixes
from webhook.lint.readings import Reading, readings
from webhook.policy.model import Origin, Policy, PolicySet

CODES: Codes = {
    "W015": ("warning", "CEL that errs on pods without an optional field"),
    "W023": ("info", "a condition that every sample pod meets"),
    "W025": ("warning", "CEL that is too much work on a large pod"),
    "W026": ("error", "CEL whose answer is of the wrong type"),
    "W027": ("warning", "CEL that errs on every pod"),
    "W034": ("info", "a condition that no sample pod meets"),
}

# Where these stand, values that meet a condition cannot be read off it, so that none was found says nothing.
_OPAQUE: Final = frozenset(
    (
        *("matches", "int", "double", "uint", "quantity", "isQuantity", "timestamp", "duration", "size", "split"),
        *("join", "indexOf", "lastIndexOf", "substring", "charAt", "format", "replace", "lowerAscii", "upperAscii"),
        *("reverse", "warmNodes", "asInteger", "asApproximateFloat", "string", "trim"),
    )
)
# Errors by the types of values: another value would not help. Both engines' words.
_OF_TYPES: Final = ("no such overload", "no matching overload", "a field was asked of a value that has none")
_FATAL: Final = frozenset(("W014", "W016", "W024", "W028"))


def _conditions(policy_set: PolicySet, _: Manifests) -> Iterator[tuple[Origin, Finding]]:
    for policy in policy_set.policies:
        reads = list(readings(policy))
        if reads:
            yield from ((policy.origin, finding) for finding in _judged(policy, reads))


def _judged(policy: Policy, reads: Sequence[Reading]) -> Iterator[Finding]:
    found = answers(policy, reads)
    impossible = {finding.path for finding in contradictions(policy)}
    for reading in reads:
        told = False
        for finding in _errors(reading, reads, found):
            told = True
            yield finding
        broken = {finding.code for finding in structure_findings(reading)} & _FATAL
        if not told and not broken and reading.path not in impossible:
            yield from _decides(reading, found)


def _errors(reading: Reading, reads: Sequence[Reading], found: Answers) -> Iterator[Finding]:
    given, errors = found.of(reading), found.errors[reading.path]
    too_large = found.too_large.get(reading.path)
    if too_large:
        hint = "loop over less, or split it: other conditions come first, and one that is false spares the rest"
        yield reading.finding("W025", f"too much work on a large pod ({found.cases[-1].source}): {too_large}", hint)
    if all(answer is None for answer in given):
        of_types = next((each for each in errors if any(word in each.lower() for word in _OF_TYPES)), "")
        told = {"W016", "W028"} & {each.code for each in structure_findings(reading)}
        if of_types and not told and not errors[0].startswith("variables."):
            yield reading.finding("W027", f"this has no answer for any pod: {of_types}", "see docs/policies.md, CEL")
        return
    wanted = {"condition": "true or false", "source": "a text", "variable": ""}[reading.role]
    kinds = [answer for answer in given if answer is not None]
    good = [answer for answer in kinds if isinstance(answer, bool) or not wanted]
    if reading.role == "source":
        # A source is asked of pods that meet the conditions, and of no others.
        kinds = [each for each, met in zip(given, _met(reads, found), strict=True) if met and each is not None]
        good = [answer for answer in kinds if answer in ("a text", "null")]
        if not kinds:
            return
    if not good:
        kind = "true or false" if isinstance(kinds[0], bool) else kinds[0]
        yield reading.finding("W026", f"the answer must be {wanted}, and is {kind}", _compared(reading))
        return
    yield from _unguarded(reading, reads, found)


def _met(reads: Sequence[Reading], found: Answers) -> list[bool]:
    """Whether each pod meets all conditions."""
    given = [found.of(each) for each in reads if each.role == "condition"]
    return [all(each[index] is True for each in given) for index in range(len(found.cases))]


def _compared(reading: Reading) -> str:
    return "compare it with something: ... == '...'" if reading.role == "condition" else ""


def _unguarded(reading: Reading, reads: Sequence[Reading], found: Answers) -> Iterator[Finding]:
    """A field that is missing, and an error where there was none: on a pod that no other condition keeps out."""
    given, errors = found.of(reading), found.errors[reading.path]
    conditions = [each for each in reads if each.role == "condition"]
    told: list[str] = []
    for index, case in enumerate(found.cases):
        part = case.missing
        if not part or given[index] is not None or errors[index].startswith("variables."):
            continue
        if any(part == each or part.startswith((f"{each}.", f"{each}[")) for each in told):
            continue
        if any(found.of(each)[index] is False for each in conditions):
            continue
        use = next((use for use in reading.structure.paths if part in prefixes(use.text)), None)
        if use is None:
            continue
        told.append(part)
        message = f"{_absence(part, found)}, where this is an error: {errors[index]}"
        yield reading.finding("W015", message, _guard(part), (use.line, use.column))


def _absence(part: str, found: Answers) -> str:
    """Say which pod lacks it: a sample, if there is one."""
    if part == "namespaceObject":
        return f"{part} is null while the labels of the namespace are not known yet"
    lacking = (each.source for each in found.cases if not each.missing and lacks(each.roots, part))
    return f"{part} is missing from {next(lacking, 'some pods')}"


def _guard(optional: str) -> str:
    if optional == "object.metadata.name":
        return "pods of a ReplicaSet or Job have only generateName yet: ask has(object.metadata.name), or use a label"
    if optional == "namespaceObject":
        return "ask first: namespaceObject != null; or use namespaceSelector"
    if optional.endswith("]"):
        holder, _, key = optional.rpartition("[")
        return f"ask first: {key.removesuffix(']')} in {_spelt(holder)}"
    return f"ask first: has({_spelt(optional)})"


def _spelt(path: str) -> str:
    """The path as an expression would spell it: an element of a list goes by the name that loops give it."""
    _, brackets, rest = path.rpartition("[]")
    return f"c{rest}" if brackets else path


def _decides(reading: Reading, found: Answers) -> Iterator[Finding]:
    """Whether a condition tells any two pods apart."""
    if reading.role != "condition":
        return
    given = found.of(reading)
    kept = [answer for answer, case in zip(given, found.cases, strict=True) if case.missing != "namespaceObject"]
    if all(answer is True for answer in kept):
        count = f"each of {len(kept)} pods" if reading.structure.paths else "every pod"
        message = f"condition {reading.name} is true for {count}, also for those made to fail it"
        yield reading.finding("W023", message, "remove it, or say what it should keep out")
    elif not any(answer is True for answer in given):
        if not reading.structure.paths and "warmNodes" not in {each.text for each in reading.structure.functions}:
            hint = "remove the policy, or set mode: Off"
            yield reading.finding("W021", f"no pod meets this: condition {reading.name} is always false", hint)
        elif not _is_opaque(reading):
            message = f"condition {reading.name} is true for none of {len(given)} pods, nor for those made to meet it"
            yield reading.finding("W034", message, "see that the pods it is meant for have these values")


def _is_opaque(reading: Reading) -> bool:
    structure = reading.structure
    known = {each.text for each in structure.functions}
    return bool(known & _OPAQUE) or any(use.text.startswith(("variables", "inventory")) for use in structure.paths)


CHECKS: tuple[Check, ...] = (_conditions,)
