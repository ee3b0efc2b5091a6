"""The laws of docs/architecture.md, each as a property over pods, facts and what other webhooks do in between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonpatch
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import builders, strategies
from webhook.admission import admit
from webhook.admission.decision import Decision, Facts
from webhook.inventory.model import EMPTY
from webhook.kube import Object, affinity, footprint, names, patch, podsecurity
from webhook.kube.podsecurity import Level
from webhook.policy.model import Mode, Placement, PolicySet

DISK_CACHE = """
---
kind: NodeCache
apiVersion: warmpod.dev/v1alpha1
metadata: {name: disk}
spec: {preset: al2023-raid0, size: 200Gi}
"""
# Between them: every kind of delivery, source, placement and cache volume; models that share a container or fight for a
# path.
SETS: dict[str, PolicySet] = {
    "everything": builders.policies(builders.policy()),
    "required": builders.policies(
        builders.policy(
            """
  acknowledge: [RequireBlocksScaleFromZero]
  images: {placement: Require}
  models:
    - name: weights
      source: {annotation: warmpod.dev/model}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
      placement: Require
"""
        )
    ),
    "two models": builders.policies(
        builders.policy(
            """
  images: {placement: Prefer}
  models:
    - name: weights
      source: {arg: --model}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
      redirect: true
      placement: Prefer
    - name: again
      source: {env: MODEL_ID}
      allow: ["s3://acme-models/*"]
      files: {exclude: ["original/*", "$(X)"], preferSafetensors: true}
      cache: shared
      mountPath: /again
      redirect: true
      onFailure: Continue
""",
            name="a",
        ),
        builders.policy(
            """
  models:
    - name: other
      source: {annotation: warmpod.dev/model}
      sourceVolume:
        volume: {name: fsx, persistentVolumeClaim: {claimName: fsx-models}}
        mountPath: /fsx
      allow: ["s3://acme-models/*", "file:///fsx/models/*"]
      cache: nvme
      mountPath: /other
      containers: [vllm, app]
      placement: Prefer
    - name: fights
      source: {value: s3://acme-models/fixed/}
      cache: nvme
      mountPath: /models
  volumes:
    - volume: {name: host, hostPath: {path: /opt/profiles}}
      mountPath: /opt/profiles
      readOnly: true
  clientProfiles: [s3]
""",
            name="b",
        ),
        builders.SHARED_CACHE,
    ),
    "ways": builders.policies(
        builders.policy(
            """
  acknowledge: [RequireBlocksScaleFromZero]
  images: {placement: Require}
  models:
    - name: weights
      source: {annotation: warmpod.dev/model}
      allow: ["s3://acme-models/*", "oci://ghcr.io/acme/*"]
      sourceVolume:
        volume: {name: models, persistentVolumeClaim: {claimName: models, readOnly: true}}
        holds: s3://acme-models/
      delivery: auto
      size: 100Gi
      cache: disk
      mountPath: /models
      redirect: true
      placement: Require
""",
            name="a",
        ),
        builders.policy(
            """
  models:
    - name: other
      source: {arg: --model}
      allow: ["file:///fsx/*", "s3://acme-models/*", "oci://ghcr.io/*"]
      sourceVolume:
        volume: {name: fsx, hostPath: {path: /mnt/fsx}}
        mountPath: /fsx
      delivery: mount
      mountPath: /other
      containers: [vllm, app]
      redirect: true
    - name: weights
      source: {env: MODEL_ID}
      allow: ["s3://acme-models/*"]
      sourceVolume:
        volume: {name: models, persistentVolumeClaim: {claimName: models, readOnly: true}}
        holds: s3://acme-models/
      delivery: mount
      mountPath: /again
      redirect: true
""",
            name="b",
        ),
        DISK_CACHE,
    ),
    "what suits each client": builders.policies(
        builders.policy("  clientProfiles: auto", name="a"),
        builders.policy(
            """
  volumes:
    - volume: {name: dshm, emptyDir: {medium: Memory, sizeLimit: 16Gi}}
      mountPath: /dev/shm
  clientProfiles: [s3, auto]
""",
            name="b",
        ),
    ),
    "conditions": builders.policies(
        builders.policy(
            """
  matchConditions:
    - {name: own-annotations, expression: "has(object.metadata.annotations)"}
    - {name: not-skipped, expression: "!('warmpod.dev/skip' in object.metadata.annotations)"}
  variables:
    - {name: model, expression: "'s3://acme-models/' + request.namespace"}
  models:
    - name: weights
      source: {expression: "variables.model + '/x/'"}
      allow: ["s3://acme-models/*"]
      cache: nvme
      mountPath: /models
  clientProfiles: [s3]
"""
        )
    ),
}
SETS["ways, with other placement"] = replace(
    SETS["ways"],
    policies=tuple(
        replace(
            policy,
            image_placement=Placement.PREFER,
            models=tuple(replace(model, placement=Placement.OFF) for model in policy.models),
        )
        for policy in SETS["ways"].policies
    ),
)
INVENTORIES = {
    "some nodes warm": builders.inventory(),
    "all nodes warm": builders.inventory(builders.image(nodes=range(4)), builders.model(nodes=range(4))),
    "some nodes of a fleet": builders.fleet(),
    "empty": EMPTY,
}
LEVELS: dict[str, dict[str, str] | None] = {
    **{str(level): {names.LABEL_POD_SECURITY_ENFORCE: str(level)} for level in Level},
    "unknown": None,
}
_SETTINGS = builders.settings(default_level=Level.BASELINE)


def _facts(chosen: str, inventory: str, level: str) -> Facts:
    known = INVENTORIES[inventory]
    return Facts(SETS[chosen], _SETTINGS, known, LEVELS[level], placement_usable=known is not EMPTY)


def facts(levels: tuple[str, ...] = tuple(LEVELS)) -> st.SearchStrategy[Facts]:
    return st.builds(
        _facts, st.sampled_from(sorted(SETS)), st.sampled_from(sorted(INVENTORIES)), st.sampled_from(levels)
    )


def audited(given_facts: Facts) -> Facts:
    policies = given_facts.policies
    return replace(
        given_facts,
        policies=replace(policies, policies=tuple(replace(p, mode=Mode.AUDIT) for p in policies.policies)),
    )


def decide(pod: Object, given_facts: Facts) -> Decision:
    decision = admit(builders.request(pod), given_facts)
    assert decision.violations == (), decision.violations
    assert decision.allowed
    return decision


@given(strategies.sound_pods(), facts())
def test_the_patch_applies_and_gives_the_pod(pod: Object, given_facts: Facts) -> None:
    decision = decide(pod, given_facts)
    assert patch.apply(pod, decision.patch) == decision.pod
    # Off the wire no two containers share an entry; drawn ones do, and this library edits in place.
    assert jsonpatch.apply_patch(json.loads(json.dumps(pod)), decision.patch) == decision.pod
    assert bool(decision.patch) == (decision.pod != pod)


@given(strategies.sound_pods(), facts())
def test_the_input_is_never_edited(pod: Object, given_facts: Facts) -> None:
    before = json.dumps(pod)
    decide(pod, given_facts)
    assert json.dumps(pod) == before


@given(strategies.sound_pods(), facts())
def test_a_second_review_changes_nothing(pod: Object, given_facts: Facts) -> None:
    first = decide(pod, given_facts)
    assert first.pod is not None
    assert decide(first.pod, given_facts).patch == []


@given(strategies.sound_pods(), facts(), st.lists(strategies.injectors(), min_size=1, max_size=3, unique=True))
def test_with_others_in_between_it_settles_at_once(
    pod: Object, given_facts: Facts, others: list[Callable[[Object], Object]]
) -> None:
    current = builders.patched(pod, decide(pod, given_facts))
    for other in others:
        current = other(current)
    again = builders.patched(current, decide(current, given_facts))
    assert decide(again, given_facts).patch == []
    hydrators = [c for c in again["spec"].get("initContainers") or [] if c["name"] == names.INIT_CONTAINER]
    assert len(hydrators) <= 1


@given(strategies.sound_pods(), facts(), strategies.injectors())
def test_who_comes_first_makes_no_difference_to_what_we_add(
    pod: Object, given_facts: Facts, other: Callable[[Object], Object]
) -> None:
    assume(other is not strategies.api_server)  # its token is in every container that is there when it comes
    before = builders.patched(other(pod), decide(other(pod), given_facts))
    sent = other(builders.patched(pod, decide(pod, given_facts)))
    after = builders.patched(sent, decide(sent, given_facts))
    assert _ours(after) == _ours(before)


def _ours(pod: Object) -> dict[str, Any]:
    spec = pod["spec"]
    made = [c for c in spec.get("initContainers") or [] if c["name"] == names.INIT_CONTAINER]
    return {
        "affinity": spec.get("affinity"),
        "args": [c["args"] for c in made],
        "mounts": [sorted(m["mountPath"] for m in c.get("volumeMounts") or []) for c in spec["containers"]],
        "env": [sorted(e["name"] for e in c.get("env") or []) for c in [*made, *spec["containers"]]],
        "volumes": sorted(volume["name"] for volume in spec.get("volumes") or []),
    }


_KEYS = (
    "zone",
    "cores",
    "gpu",
    names.image_label(builders.CANONICAL_IMAGE),
    names.model_label(builders.MODEL, "default"),
)
_LABELS = st.fixed_dictionaries({}, optional={key: st.sampled_from(["a", "b", "9", "warm"]) for key in _KEYS})


@given(strategies.sound_pods(), facts(), st.lists(_LABELS, min_size=1, max_size=8))
def test_nodes_only_narrow(pod: Object, given_facts: Facts, nodes: list[dict[str, str]]) -> None:
    decision = decide(pod, given_facts)
    assert decision.pod is not None
    before, after = affinity.required_terms(pod), affinity.required_terms(decision.pod)
    for labels in nodes:
        if affinity.selects(after, labels, "gpu-1"):
            assert affinity.selects(before, labels, "gpu-1")
    if given_facts.inventory is EMPTY:
        assert after == before


@given(strategies.sound_pods(), facts())
def test_a_pod_gets_at_most_two_preferred_terms_of_ours(pod: Object, given_facts: Facts) -> None:
    decision = decide(pod, given_facts)

    def ours(found: Object | None) -> int:
        return json.dumps((found or {})["spec"].get("affinity")).count(
            '"preference": {"matchExpressions": [{"key": "warmpod'
        )

    assert ours(decision.pod) <= max(2, ours(pod))


@pytest.mark.parametrize("level", [Level.BASELINE, Level.RESTRICTED])
@given(st.data())
def test_pod_security_never_worsens(level: Level, data: st.DataObject) -> None:
    pod = data.draw(strategies.sound_pods(restricted=True))
    given_facts = data.draw(facts((str(level),)))
    decision = decide(pod, given_facts)
    assert decision.pod is not None
    assert set(podsecurity.violations(decision.pod, level)) <= set(podsecurity.violations(pod, level))


@given(strategies.sound_pods(), facts(("restricted", "baseline", "unknown")))
def test_no_host_path_where_the_level_forbids_it(pod: Object, given_facts: Facts) -> None:
    decision = decide(pod, given_facts)
    assert "hostPath" not in json.dumps(decision.patch)


@given(strategies.sound_pods(), facts())
def test_footprint_stays(pod: Object, given_facts: Facts) -> None:
    decision = decide(pod, given_facts)
    assert decision.pod is not None
    assert footprint.qos_class(decision.pod) == footprint.qos_class(pod)
    assert footprint.effective_requests(decision.pod) == footprint.effective_requests(pod)


_CONTAINER = r"/spec/(containers|initContainers)/\d+"
_REACH = {
    "add": re.compile(
        r"/metadata/annotations(/warmpod\.dev~1(decision|aws-config))?"
        r"|/spec/(initContainers|volumes)(/\d+)?"
        rf"|{_CONTAINER}/(env|volumeMounts)(/\d+)?"
        r"|/spec/affinity(/nodeAffinity(/(required|preferred)\w+(/.*)?)?)?"
    ),
    "replace": re.compile(rf"{_CONTAINER}/((args|command)/\d+|env/\d+/value)"),
}


@given(strategies.sound_pods(), facts())
def test_operations_stay_within_reach(pod: Object, given_facts: Facts) -> None:
    for operation in decide(pod, given_facts).patch:
        verb, path = operation["op"], operation["path"]
        if verb == "replace" and _at(pod, path) is None:
            verb = "add"  # a null that becomes something
        assert _REACH[verb].fullmatch(path), operation
        if operation["op"] == "replace" and verb == "replace":
            assert re.search(r"s3://acme-models/|file:///fsx/|oci://ghcr.io/acme/", _at(pod, path)), operation


def _at(document: Any, path: str) -> Any:
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@given(strategies.sound_pods(), facts())
def test_what_the_author_wrote_stays(pod: Object, given_facts: Facts) -> None:
    after = decide(pod, given_facts).pod
    assert after is not None
    for field in ("containers", "initContainers"):
        now = {container["name"]: container for container in after["spec"].get(field) or []}
        for container in pod["spec"].get(field) or []:
            mine = now[container["name"]]
            assert {k: v for k, v in mine.items() if k not in _EDITED} == {
                k: v for k, v in container.items() if k not in _EDITED
            }
            assert [e["name"] for e in container.get("env") or []] == [
                e["name"] for e in (mine.get("env") or [])[: len(container.get("env") or [])]
            ]
            for mount in container.get("volumeMounts") or []:
                assert mount in mine["volumeMounts"]
    for volume in pod["spec"].get("volumes") or []:
        assert volume in after["spec"]["volumes"]
    for key, value in (pod["metadata"].get("annotations") or {}).items():
        assert after["metadata"]["annotations"][key] == value


_EDITED = ("args", "command", "env", "volumeMounts")


@given(strategies.sound_pods(), facts())
def test_audit_withholds_exactly_what_enforce_does(pod: Object, given_facts: Facts) -> None:
    enforced, withheld = decide(pod, given_facts), decide(pod, audited(given_facts))
    assert withheld.patch == []
    assert withheld.pod is pod
    assert withheld.would_patch == enforced.patch
    assert withheld.would_pod == enforced.pod
    assert withheld.would_seconds_saved == enforced.seconds_saved
    assert withheld.seconds_saved == 0
    assert withheld.warnings == ()
    assert [v.reason for v in withheld.policies] == [v.reason for v in enforced.policies]


@given(strategies.sound_pods(), facts())
def test_dry_run_decides_the_same(pod: Object, given_facts: Facts) -> None:
    assert admit(builders.request(pod, dry_run=True), given_facts) == admit(builders.request(pod), given_facts)


@given(strategies.sound_pods(), facts(), st.randoms(use_true_random=False))
def test_the_order_of_keys_is_nothing(pod: Object, given_facts: Facts, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(entry) for entry in value] if isinstance(value, list) else value

    one, other = decide(pod, given_facts), decide(shuffled(pod), given_facts)
    assert json.dumps(one.patch) == json.dumps(other.patch)
    assert one.policies == other.policies


@settings(max_examples=300)
@given(strategies.broken_pods(), facts())
def test_no_pod_is_too_broken(pod: Object, given_facts: Facts) -> None:
    decision = admit(builders.request(pod), given_facts)
    assert decision.allowed
    assert patch.apply(pod, decision.patch) == (decision.pod if decision.patch else pod)


@given(strategies.json_values(), facts())
def test_any_object_is_decided(value: Any, given_facts: Facts) -> None:
    request = replace(builders.request(builders.pod()), object=value if isinstance(value, dict) else {"spec": value})
    assert admit(request, given_facts).patch == []
