"""Why one pod is as it is: one sentence above, and below it what the sentence is made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from webhook.admission.changes import Changes, changes
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.recreated import unwarmed, was_changed
from webhook.policy.model import Mode
from webhook.report.headline import headline
from webhook.report.pod_evidence import Evidence, Signature, signature_of
from webhook.report.whereabouts import Warmth

_LONGEST = 400
_NAMED = 4


class Others(NamedTuple):
    """What the pod has that neither its template nor Warmpod gave it: other webhooks did, whichever they are."""

    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """One line; empty when there is nothing."""
        told = [
            f"{what} {', '.join(found)}"
            for what, found in (("containers", self.containers), ("volumes", self.volumes), ("variables", self.env))
            if found
        ]
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`state` is one word for programs: changed, unreached, unanswered, audited, skipped, nothing or pending.

    `headline` is the answer. `done` is what Warmpod's hand in the stored pod is, `would` what it would be now.
    """

    state: str
    headline: str
    evidence: Evidence
    signature: Signature | None
    done: Changes
    would: Changes
    others: Others
    since: tuple[str, ...]
    advice: tuple[str, ...]


def explain(evidence: Evidence) -> Explanation:
    """The explanation of a pod from what is known of it."""
    signature = signature_of(evidence.stored)
    changed = was_changed(evidence.stored)
    decision = evidence.decision
    would = changes(evidence.sent, decision.would_pod if decision.would_patch else decision.pod)
    done = changes(_before(evidence.stored, would), evidence.stored) if changed else Changes()
    state, text = headline(evidence, signature, would, changed=changed)
    return Explanation(
        state=state,
        headline=text,
        evidence=evidence,
        signature=signature,
        done=done,
        would=would,
        others=_others(evidence),
        since=tuple(_since(evidence, signature, done, would)) if changed else (),
        advice=tuple(dict.fromkeys(_advice(evidence, state, done))),
    )


def _before(stored: Object, would: Changes) -> Object:
    """The stored pod without what is Warmpod's by its name, nor what the policies would add to the pod as sent."""
    pod = unwarmed(stored)
    spec = dict(pod["spec"])
    for field in pods.CONTAINER_LISTS[:2]:
        if field in spec:
            spec[field] = [_without(one, would) for one in pods.objects(spec[field])]
    return {**pod, "spec": spec}


def _without(container: Object, would: Changes) -> Object:
    made = dict(container)
    name = container.get("name")
    for field, key, added in (("env", "name", would.env), ("volumeMounts", "mountPath", would.mounts)):
        if field in made:
            made[field] = [one for one in pods.objects(made[field]) if (name, one.get(key)) not in added]
    return made


def _since(evidence: Evidence, signature: Signature | None, done: Changes, would: Changes) -> Iterator[str]:
    """What is not any more as it was when Warmpod changed the pod."""
    if signature is not None:
        now = {one.name: one for one in evidence.considered}
        for name in signature.policies:
            one = now.get(name)
            if one is None:
                yield f"policy {name} is no longer there"
            elif one.result != "matched":
                yield f"policy {name} would no longer match: {one.reason}"
            elif one.mode is not Mode.ENFORCE:
                yield f"policy {name} is in {one.mode} now"
        for one in evidence.considered:
            if one.result == "matched" and one.mode is Mode.ENFORCE and one.name not in signature.policies:
                yield f"policy {one.name} would match now: {one.reason}"
        if evidence.inventory and evidence.inventory != signature.inventory:
            then = f"inventory {signature.inventory} then, {evidence.inventory} now"
            yield f"the nodes hold other things than when it was decided ({then})"
    created, changed = evidence.course.created, evidence.policies_changed
    if created is not None and changed is not None and changed > created:
        yield "the policies were written after the pod was created"
    if set(would.parts) != set(done.parts):
        more = [part for part in would.parts if part not in done.parts]
        less = [part for part in done.parts if part not in would.parts]
        told = [f"gain {', '.join(more)}"] if more else []
        told += [f"lose {', '.join(less)}"] if less else []
        yield f"created now it would {' and '.join(told)}"


def _others(evidence: Evidence) -> Others:
    """What neither the template nor a review of the pod accounts for."""
    if evidence.template is None:
        return Others()
    known = [evidence.template, *filter(None, (evidence.decision.pod, evidence.decision.would_pod))]
    spec, specs = pods.spec(evidence.stored), [pods.spec(one) for one in known]
    env: list[str] = []
    for _, _, container in pods.every_container(evidence.stored):
        name = container.get("name")
        there = [one for each in known for _, _, one in pods.every_container(each) if one.get("name") == name]
        if there and name != names.INIT_CONTAINER:
            given = {text for one in there for text in _named(one.get("env"))}
            env += [text for text in _named(container.get("env")) if text not in given]
    containers = [name for field in pods.CONTAINER_LISTS[:2] for name in _named(spec.get(field))]
    expected = {name for each in specs for field in pods.CONTAINER_LISTS[:2] for name in _named(each.get(field))}
    volumes = {name for each in specs for name in _named(each.get("volumes"))}
    return Others(
        tuple(name for name in containers if name not in expected and name != names.INIT_CONTAINER),
        tuple(
            name
            for name in _named(spec.get("volumes"))
            if name not in volumes and not name.startswith((names.VOLUME_PREFIX, "kube-api-access-"))
        ),
        tuple(name for name in dict.fromkeys(env) if name != "AWS_CONFIG_FILE"),
    )


def _named(entries: object) -> list[str]:
    return [name for one in pods.objects(entries) if isinstance(name := one.get("name"), str)]


def _passed_by(one: Warmth, others: list[str], node: str, done: Changes) -> str:
    """Why a pod came to a cold node although there are warm ones."""
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    there = f"{one.kind} {one.name[:_LONGEST]} is on {', '.join(others[:_NAMED])}{more}, too"
    if not one.roomy:
        return f"{there}, where there is no room now and perhaps was none then"
    why = "a preference that other scores may outweigh" if done.preferred else "nothing that the pod asks for"
    return f"{there}: warmth is {why}, so the scheduler chose {node}; or it came there later"


def _advice(evidence: Evidence, state: str, done: Changes) -> Iterator[str]:
    if state == "unanswered" or (state == "unreached" and "does not pick it" not in evidence.unreached):
        yield "`warmpod doctor` says whether pods created now are reviewed"
    if state == "unanswered":
        yield "`kubectl rollout restart` of its workload has its pods reviewed again"
    if state == "audited":
        yield "`warmpod audit` says what all pods would gain by mode: Enforce"
    found = evidence.whereabouts
    if found is None:
        return
    if found.allowed is not None and not evidence.course.node and found.allowed < found.able:
        yield "placement: Prefer instead of Require lets it start on a cold node"
    course = evidence.course
    was_there = {"image": course.image_was_there, "model": course.model_was_there}
    for one in found.artifacts:
        if one.warm:
            others = [name for name in one.warm if name != course.node]
            if was_there[one.kind] is False and others:
                yield _passed_by(one, others, course.node, done)
            continue
        if one.passed:
            first = one.passed[0]
            yield f"node {first.node} is warm for {one.kind} {one.name[:_LONGEST]}, but {first.why}"
        elif not one.known:
            yield f"no node is known to hold {one.kind} {one.name[:_LONGEST]}: the first pods that use it start cold"
    if any(one.unlabelled for one in found.artifacts):
        yield "some warm nodes do not bear their label yet: is the controller's leader well? `warmpod doctor`"
