"""An explanation as a person reads it at night, and as a program does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from webhook.admission.changes import Changes
from webhook.cli.errors import COLOURS, printable
from webhook.cli.previews import decision_json
from webhook.kube import pod as pods
from webhook.policy.model import Mode
from webhook.report.course import Course
from webhook.report.explanation import Explanation
from webhook.report.pod_evidence import Considered
from webhook.report.whereabouts import Warmth, Whereabouts

_RESULTS = {"matched": "green", "skipped": None, "errored": "red"}
_STATES = {"changed": "green", "unreached": "yellow", "unanswered": "red", "denied": "red"}
_NODES_SHOWN = 4


def name_of(found: Explanation) -> str:
    """`NAMESPACE/NAME`, as the pod says."""
    metadata = pods.metadata(found.evidence.stored)
    name = metadata.get("name") or (f"{prefix}*" if (prefix := metadata.get("generateName")) else "(unnamed)")
    return f"{metadata.get('namespace') or 'default'}/{name}"


def text(found: Explanation) -> str:
    """The answer, and below it what it is made from."""
    lines = [click.style(_line(f"pod {name_of(found)}: {found.headline}"), bold=True, fg=_STATES.get(found.state))]
    for title, section in (
        ("Policies, as they are now", _policies(found.evidence.considered)),
        ("Injected", _injected(found)),
        ("Nodes, as they are now", _nodes(found.evidence.whereabouts)),
        ("Its life", _life(found.evidence.course)),
        ("Since then", iter(found.since)),
        ("Against an answer at that time", iter(found.evidence.doubts if found.state == "unanswered" else ())),
    ):
        told = list(section)
        if told:
            lines += ["", title, *(f"  {line}" for line in told)]
    if found.advice:
        lines.append("")
        lines += [f"{click.style('->', fg=COLOURS['hint'])} {_line(one)}" for one in found.advice]
    return "".join(f"{line}\n" for line in lines)


def _policies(considered: Sequence[Considered]) -> Iterator[str]:
    # Those that did something, then those that failed, then the others: at night nobody reads to the end.
    for one in sorted(considered, key=lambda one: (not one.signed, _ORDER.index(one.result), one.mode is Mode.OFF)):
        word = click.style(f"{one.result:<8}", fg=_RESULTS.get(one.result))
        signed = ", named by the pod" if one.signed else ""
        yield f"{word} {_line(f'{one.name} ({one.mode}{signed}): {one.reason}')}"
        if one.cause is None:
            continue
        for line in one.cause.expression.splitlines():
            yield f"{'':<11}{_line(line, keep=True)}"
        for name, expression in one.cause.variables:
            yield f"{'':<13}{_line(f'variables.{name} = {expression}')}"
        for value in one.cause.values:
            yield f"{'':<13}{_line(f'{value.path}: {value.text}')}"
        if one.cause.more:
            yield f"{'':<13}and {one.cause.more} more values"


_ORDER = ("matched", "errored", "skipped")


def _injected(found: Explanation) -> Iterator[str]:
    signature = found.signature
    if found.done.text:
        by = f" ({', '.join(signature.policies)})" if signature else ""
        yield _line(f"by Warmpod{by}: {found.done.text}")
    if signature:
        yield _line(f"decided by inventory {signature.inventory}; {signature.seconds} s expected to be saved")
    if found.others.text:
        yield _line(f"by others: {found.others.text}")


def _nodes(found: Whereabouts | None) -> Iterator[str]:
    if found is None:
        return
    asked = ", ".join(f"{amount} {name}" for name, amount in found.amounts)
    narrowed = f", {found.allowed} with what Warmpod requires" if found.allowed is not None else ""
    able = f"{found.able} of {found.nodes} accelerator nodes could run it ({asked})"
    yield _line(f"{able}{narrowed}; {found.roomy} have room")
    for each in found.zones:
        wish = "required" if each.required else "preferred"
        yield _line(f"zone {each.zone} ({wish}): {each.able} of these {found.able} are in it, {each.roomy} with room")
    for one in found.artifacts:
        yield _line(_artifact(one, found.able))
        for node, why in one.passed:
            yield f"  {_line(f'not {node}: {why}')}"
        if one.more_passed:
            yield f"  and {one.more_passed} more warm nodes that could not run it"


def _artifact(one: Warmth, able: int) -> str:
    if not one.known:
        return f"{one.kind} {one.name}: no node is known to hold it"
    shown = ", ".join(one.warm[:_NODES_SHOWN])
    more = f" and {len(one.warm) - _NODES_SHOWN} more" if len(one.warm) > _NODES_SHOWN else ""
    size = f", {one.bytes / 2**30:.1f} GiB, about {one.seconds:.0f} s to bring" if one.bytes else ""
    if not able:
        return f"{one.kind} {one.name}{size}: on {len(one.passed) + one.more_passed} nodes that could not run it"
    where = f": {shown}{more}" if one.warm else ""
    room = f"; {one.roomy} of them have room now" if one.warm else ""
    blind = f"; {one.unlabelled} of them bear no label yet" if one.unlabelled else ""
    return f"{one.kind} {one.name}{size}: on {len(one.warm)} of {able}{where}{room}{blind}"


def _life(found: Course) -> Iterator[str]:
    for at, what in ((found.created, "created"), (found.scheduled, f"scheduled to {found.node}")):
        if at is not None:
            yield _line(f"{_time(at)}  {what}")
    for pull in found.pulls:
        how = "was there" if pull.seconds is None else f"pulled in {pull.seconds:.0f} s"
        yield _line(f"image {pull.image}: {how}")
    hydration = found.hydration
    if hydration is not None:
        took = "" if hydration.seconds is None else f" in {hydration.seconds:.0f} s"
        size = f", {hydration.bytes / 2**30:.1f} GiB" if hydration.bytes else ""
        again = f", started again {hydration.restarts} times" if hydration.restarts else ""
        told = f": {hydration.told}" if hydration.told else ""
        yield _line(f"hydration: {hydration.result}{took}{size}{again}{told}")
    if found.ready is not None:
        since = "" if found.created is None else f", {found.ready - found.created:.0f} s after it was created"
        yield _line(f"{_time(found.ready)}  ready{since}")
    if found.waiting:
        yield _line(f"waits: {found.waiting}")
    yield from map(_line, found.said)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(words: str, *, keep: bool = False) -> str:
    """One line for a terminal. With `keep` its spaces stay: they may be within a text of an expression."""
    return printable(words.replace("\n", " ") if keep else " ".join(words.split()))


def as_json(found: Explanation) -> dict[str, Any]:
    """One item of `--output json`. Times are unix seconds; null is what is not known."""
    evidence, signature = found.evidence, found.signature
    metadata = pods.metadata(evidence.stored)
    return {
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "state": found.state,
        "headline": found.headline,
        "unreached": evidence.unreached if found.state == "unreached" else None,
        "signature": signature
        and {
            "policies": list(signature.policies),
            "secondsSaved": signature.seconds,
            "inventory": signature.inventory,
        },
        "policies": [_considered(one) for one in evidence.considered],
        "injected": _changes(found.done),
        "would": _changes(found.would),
        "decision": decision_json(evidence.decision),
        "others": {
            "containers": list(found.others.containers),
            "volumes": list(found.others.volumes),
            "env": list(found.others.env),
        },
        "nodes": _whereabouts(evidence.whereabouts),
        "life": _course(evidence.course) if evidence.is_live else None,
        "since": list(found.since),
        "advice": list(found.advice),
    }


def _considered(one: Considered) -> dict[str, Any]:
    made = one.cause
    return {
        "name": one.name,
        "mode": str(one.mode),
        "result": one.result,
        "reason": one.reason,
        "signed": one.signed,
        "cause": made
        and {
            "name": made.name,
            "expression": made.expression or None,
            "variables": dict(made.variables),
            "values": [{"path": value.path, "value": value.text} for value in made.values],
            "more": made.more,
        },
    }


def _changes(found: Changes) -> dict[str, Any]:
    return {"parts": list(found.parts), "text": found.text}


def _whereabouts(found: Whereabouts | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "asked": dict(found.amounts),
        "nodes": found.nodes,
        "able": found.able,
        "roomy": found.roomy,
        "allowed": found.allowed,
        "artifacts": [
            {
                "kind": one.kind,
                "name": one.name,
                "known": one.known,
                "bytes": one.bytes,
                "seconds": round(one.seconds, 1),
                "warm": list(one.warm),
                "roomy": one.roomy,
                "unlabelled": one.unlabelled,
                "passedOver": [{"node": each.node, "why": each.why} for each in one.passed],
            }
            for one in found.artifacts
        ],
        "zones": [each._asdict() for each in found.zones],
    }


def _course(found: Course) -> dict[str, Any]:
    hydration = found.hydration
    return {
        "phase": found.phase,
        "node": found.node or None,
        "created": found.created,
        "scheduled": found.scheduled,
        "ready": found.ready,
        "waiting": found.waiting or None,
        "imageWasThere": found.image_was_there,
        "modelWasThere": found.model_was_there,
        "pulls": [{"image": pull.image, "seconds": pull.seconds} for pull in found.pulls],
        "hydration": hydration
        and {
            "result": hydration.result,
            "seconds": hydration.seconds,
            "exitCode": hydration.exit_code,
            "bytes": hydration.bytes,
            "restarts": hydration.restarts,
            "told": hydration.told or None,
        },
        "events": list(found.said),
    }
