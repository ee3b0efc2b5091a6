"""A decision tried against what API servers really do: called again, and called among others.

The laws that no test has to write down (docs/architecture.md): the patch makes the pod, by a library that shares no
code with what made the patch; a second review changes nothing; whatever others put in, in whatever order, nothing of
ours is lost, nothing comes twice, and it settles.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import jsonpatch

from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.kube import Object, names
from webhook.kube import pod as pods
from webhook.kube.review import AdmissionRequest, for_pod
from webhook.mutate.merge import is_sound
from webhook.mutate.node_affinity import preferred_labels
from webhook.report.foreign import INJECTORS, Injector
from webhook.report.subset import lacking, same


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`broken` are laws that do not hold, `notes` what a policy's author should know and no law forbids."""

    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def rehearse(
    request: AdmissionRequest,
    facts: Facts,
    decision: Decision,
    seed: str,
    injectors: Mapping[str, Injector] = INJECTORS,
) -> Rehearsal:
    """Try a decision over. `seed` chooses the order of the others: the same one, the same order."""
    sent = request.object
    broken = [f"law broken: {violation}" for violation in decision.violations]
    for name, patch, after in (
        ("patch", decision.patch, decision.pod),
        ("wouldPatch", decision.would_patch, decision.would_pod),
    ):
        if not patch or sent is None:
            continue
        if why := "there is none" if after is None else _fault(patch, sent, after):
            broken.append(f"{name} does not make the pod that was decided: {why}")
        if after is not None:
            again = admit(for_pod(after, namespace=request.namespace), facts)
            if more := again.patch or again.would_patch:
                broken.append(f"a second review of the result of {name} changes it again: {json.dumps(more)}")
    if broken or sent is None or not decision.allowed or not is_sound(sent):
        return Rehearsal(tuple(broken))
    return _Shuffled(request.namespace, facts, decision, seed, injectors).run(sent)


def _fault(patch: list[Object], sent: Object, after: Object) -> str:
    """Why the patch does not make the pod, by jsonpatch; empty when it does."""
    # As the API server has them: parsed from bytes. An anchor of YAML makes one object of two, and edits go to both.
    operations, received = json.loads(json.dumps(patch)), json.loads(json.dumps(sent))
    try:
        made = jsonpatch.apply_patch(received, operations, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        return f"it cannot be applied: {error}"
    if same(made, after):
        return ""
    return next(chain(lacking(after, made, ""), lacking(made, after, "")), "its lists are in another order")


class _Shuffled:
    """One creation as an API server with other webhooks sees it: some of them before us, some after, we once more."""

    def __init__(
        self, namespace: str, facts: Facts, alone: Decision, seed: str, injectors: Mapping[str, Injector]
    ) -> None:
        self._namespace = namespace
        self._facts = facts
        self._alone = alone
        self._order = sorted(injectors, key=lambda name: _digest(seed, name))
        self._before = _digest(seed, "") % (len(self._order) + 1)
        self._injectors = injectors
        self._broken: list[str] = []
        self._matched: frozenset[str] = frozenset()

    @property
    def _told(self) -> str:
        return " > ".join([*self._order[: self._before], "WARMPOD", *self._order[self._before :], "WARMPOD"])

    def run(self, sent: Object) -> Rehearsal:
        pod = self._through(self._order[: self._before], sent)
        pod, first = self._reviewed(pod)
        ours = _ours(pod, sent) if first.patch or first.would_patch else Counter()
        pod = self._through(self._order[self._before :], pod)
        pod, _ = self._reviewed(pod)
        lost = ours - _ours(pod, sent)
        if lost:
            self._broken.append(f"lost: {', '.join(sorted(lost))}")
        self._broken += [f"twice: {what}" for what in _twice(pod) if what not in set(_twice(sent))]
        _, last = self._reviewed(pod)
        if more := last.patch or last.would_patch:
            self._broken.append(f"it does not settle, a third review changes it again: {json.dumps(more)}")
        return Rehearsal(
            tuple(f"law broken among other injectors ({self._told}): {text}" for text in self._broken),
            tuple(self._notes(first)),
        )

    def _through(self, order: list[str], pod: Object) -> Object:
        for name in order:
            pod = self._injectors[name](pod)
        return pod

    def _reviewed(self, pod: Object) -> tuple[Object, Decision]:
        decision = admit(for_pod(pod, namespace=self._namespace), self._facts)
        self._broken += decision.violations
        patch, after = decision.patch, decision.pod
        if decision.would_patch:  # then what is enforced is part of it
            patch, after = decision.would_patch, decision.would_pod
        if not patch or after is None:
            return pod, decision
        if why := _fault(patch, pod, after):
            self._broken.append(f"the patch does not make the pod that was decided: {why}")
        return after, decision

    def _notes(self, among: Decision) -> Iterator[str]:
        """What is decided otherwise when others come first: no law, but seldom what a condition was meant to say."""
        alone = {verdict.name: verdict for verdict in self._alone.policies}
        others = ", ".join(self._order[: self._before])
        for verdict in among.policies:
            before = alone.get(verdict.name)
            if before is not None and before.result != verdict.result:
                yield (
                    f"policy {verdict.name} {_DID[before.result]} alone, but {_DID[verdict.result]} once {others} "
                    f"changed the pod: {verdict.reason if verdict.result != 'matched' else before.reason}"
                )
        if not among.allowed:
            yield f"the pod is refused once {others} changed it: {among.message}"


_DID = {"matched": "matches", "skipped": "is skipped", "errored": "fails"}


def _digest(seed: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{name}".encode("utf-8", "replace"), digest_size=8).digest())


def _ours(pod: Object, sent: Object) -> Counter[str]:
    """What we put in, by what people call it: variables and mounts only where the pod as sent had the container."""
    found: Counter[str] = Counter()
    known = {container.get("name") for _, _, container in pods.every_container(sent)}
    for container in pods.init_containers(pod):
        if container.get("name") == names.INIT_CONTAINER:
            found.update(f"argument {argument}" for argument in container.get("args") or () if type(argument) is str)
    for _, _, container in pods.every_container(pod):
        name = container.get("name")
        if name in known:
            entries = [
                *(f"variable {each.get('name')}" for each in pods.objects(container.get("env"))),
                *(f"mount {each.get('mountPath')}" for each in pods.objects(container.get("volumeMounts"))),
                *(f"argument {each}" for field in ("command", "args") for each in container.get(field) or ()),
            ]
            found.update(f"{entry} of container {name}" for entry in entries)
    found.update(f"volume {each.get('name')}" for each in pods.objects(pods.spec(pod).get("volumes")))
    found.update(f"preferred term {label}" for label in preferred_labels(pod))
    found.update(f"annotation {key}" for key in pods.mapping(pods.metadata(pod).get("annotations")))
    return found


def _twice(pod: Object) -> list[str]:
    """What of a pod stands there twice and may not."""
    found: Counter[str] = Counter()
    for _, _, container in pods.every_container(pod):
        name = container.get("name")
        found[f"container {name}"] += 1
        found.update(f"variable {each.get('name')} of {name}" for each in pods.objects(container.get("env")))
        found.update(f"mount {each.get('mountPath')} of {name}" for each in pods.objects(container.get("volumeMounts")))
    found.update(f"volume {each.get('name')}" for each in pods.objects(pods.spec(pod).get("volumes")))
    found.update(f"preferred term {label}" for label in preferred_labels(pod))
    return [what for what, count in found.items() if count > 1]
