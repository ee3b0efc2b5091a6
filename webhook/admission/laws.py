"""The laws that one answer can show to be kept, checked on every answer that carries a patch.

The API server rejects a pod whose patch cannot be applied, whatever our failurePolicy says; and what the tests did not
think of must not reach a node. So nothing here trusts the code that made the change. It looks only at what changed:
what both pods share is the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from webhook.kube import Object, affinity, names, patch, podsecurity
from webhook.kube import pod as pods
from webhook.mutate import node_affinity
from webhook.mutate.hydration import copied_resources
from webhook.mutate.load import Site
from webhook.mutate.merge import MAX_ANNOTATION_BYTES, annotation_bytes, items

_ANNOTATIONS = frozenset({names.ANNOTATION_DECISION, names.ANNOTATION_AWS_CONFIG})
_SPEC = frozenset({"affinity", "containers", "initContainers", "volumes"})
_CONTAINER = frozenset({"args", "command", "env", "volumeMounts"})
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class Change(NamedTuple):
    """A pod as sent, as wanted, and the patch between them. `paths` are those that a redirect may have written."""

    sent: Object
    wanted: Object
    operations: list[Object]
    paths: frozenset[str]
    site: Site


class _Broken(Exception):
    """The text says which law, and where."""


def broken(change: Change, again: Callable[[Object], Object]) -> tuple[str, ...]:
    """The laws this change breaks, one line each; none when it may leave. `again` is a second review of a pod."""
    found = []
    for law in (_applies, _stays_within_reach, _narrows, _keeps_security, _keeps_resources):
        try:
            law(change)
        except _Broken as error:
            found.append(str(error))
    if not found and again(change.wanted) is not change.wanted:
        found.append("idempotence: a second review would change the pod again")
    return tuple(found)


def _applies(change: Change) -> None:
    try:
        applied = patch.apply(change.sent, change.operations)
    except patch.UnapplicablePatch as error:
        raise _Broken(f"patch: it does not apply: {error}") from error
    if applied != change.wanted:
        raise _Broken("patch: it gives another pod than the one wanted")


def _stays_within_reach(change: Change) -> None:
    sent, wanted = change.sent, change.wanted
    for field in _changed(sent, wanted):
        if field not in {"metadata", "spec"}:
            raise _Broken(f"reach: {field} changed")
    if wanted["metadata"] is not sent["metadata"]:
        _annotations(sent["metadata"], wanted["metadata"])
    before, after = sent["spec"], wanted["spec"]
    for field in _changed(before, after):
        if field not in _SPEC:
            raise _Broken(f"reach: spec.{field} changed")
    for volume in _added(items(before, "volumes"), items(after, "volumes"), "spec.volumes"):
        if len(volume) != 2 or not volume.get("name"):
            raise _Broken("validity: an added volume is not a name and one source")
    known = {volume.get("name") for volume in items(after, "volumes")}
    if len(known) != len(items(after, "volumes")):
        raise _Broken("validity: spec.volumes has two of one name")
    for container in _made(change):
        _mounts_exist(container, [], known)
    for old, new in _pairs(change):
        _container(old, new, change.paths, known)


def _pairs(change: Change) -> Iterator[tuple[Object, Object]]:
    """Every app and init container that changed: as sent, and what became of it."""
    before, after = change.sent["spec"], change.wanted["spec"]
    for field in ("containers", "initContainers"):
        old, new = items(before, field), items(after, field)
        if new is old:
            continue
        if len(new) == len(old) + 1 and field == "initContainers":
            new = [entry for entry in new if entry.get("name") != names.INIT_CONTAINER]
        if len(new) != len(old):
            raise _Broken(f"reach: spec.{field} lost or gained a container")
        for mine, theirs in zip(new, old, strict=True):
            if mine is not theirs:
                if mine.get("name") != theirs.get("name"):
                    raise _Broken(f"reach: spec.{field} lost or gained a container")
                yield theirs, mine


def _made(change: Change) -> list[Object]:
    """Our init container, when this change brings it."""
    before, after = (items(spec, "initContainers") for spec in (change.sent["spec"], change.wanted["spec"]))
    if after is before or len(after) == len(before):
        return []
    return [entry for entry in after if entry.get("name") == names.INIT_CONTAINER]


def _container(old: Object, new: Object, paths: frozenset[str], volumes: set[Any]) -> None:
    name = new.get("name")
    for field in _changed(old, new):
        if field not in _CONTAINER:
            raise _Broken(f"reach: {field} of container {name} changed")
    if name == names.INIT_CONTAINER:
        if not set(items(old, "args")) <= set(items(new, "args")):
            raise _Broken(f"reach: container {name} lost an argument")
    else:
        for field in ("args", "command"):
            _redirected(items(old, field), items(new, field), paths, f"{field} of container {name}")
    before, after = items(old, "env"), items(new, "env")
    if after is not before:
        _redirected_env(before, after[: len(before)], paths, str(name))
        seen = {entry.get("name") for entry in before}
        for entry in after[len(before) :]:
            if not entry.get("name") or entry["name"] in seen or not ("value" in entry or "valueFrom" in entry):
                raise _Broken(f"validity: env of container {name} gained {entry.get('name')!r} twice or without value")
            seen.add(entry["name"])
    _mounts_exist(new, items(old, "volumeMounts"), volumes)


def _mounts_exist(container: Object, before: list[Any], volumes: set[Any]) -> None:
    after = items(container, "volumeMounts")
    if after is before:
        return
    where = f"volumeMounts of container {container.get('name')}"
    paths = {mount.get("mountPath") for mount in before}
    for mount in _added(before, after, where):
        path = mount.get("mountPath")
        if mount.get("name") not in volumes or not isinstance(path, str) or not path.startswith("/"):
            raise _Broken(f"validity: {where} gained one of no volume or path")
        if path in paths or ".." in str(mount.get("subPath", "")).split("/"):
            raise _Broken(f"validity: {where} gained {path} twice, or leaves its volume")
        is_ours = str(mount["name"]).startswith(names.VOLUME_PREFIX)
        if is_ours and container.get("name") != names.INIT_CONTAINER and mount.get("readOnly") is not True:
            raise _Broken(f"reach: {where} gained {path}, a volume of ours that it could write to")
        paths.add(path)


def _redirected(old: list[Any], new: list[Any], paths: frozenset[str], where: str) -> None:
    if new is old:
        return
    if len(new) != len(old):
        raise _Broken(f"reach: {where} changed in number")
    for before, after in zip(old, new, strict=True):
        if after is not before and after != before and after not in paths and after.partition("=")[2] not in paths:
            raise _Broken(f"reach: {where} changed to something that is no model's path")


def _redirected_env(old: list[Any], new: list[Any], paths: frozenset[str], name: str) -> None:
    if len(new) != len(old):
        raise _Broken(f"reach: env of container {name} lost a variable")
    for before, after in zip(old, new, strict=True):
        if (
            after is not before
            and after != before
            and ({**before, "value": ""} != {**after, "value": ""} or after["value"] not in paths)
        ):
            raise _Broken(f"reach: env {before.get('name')} of container {name} changed")


def _annotations(before: Object, after: Object) -> None:
    for field in _changed(before, after):
        if field != "annotations":
            raise _Broken(f"reach: metadata.{field} changed")
    old, new = before.get("annotations") or {}, after.get("annotations") or {}
    if not _changed(old, new) <= _ANNOTATIONS or any(key not in new or new[key] != old[key] for key in old):
        raise _Broken("reach: an annotation changed that is not ours to write")
    if annotation_bytes(new) > MAX_ANNOTATION_BYTES:
        raise _Broken("validity: the annotations are too large")


def _narrows(change: Change) -> None:
    """Nodes allowed after are among the nodes allowed before: terms only gain requirements, none is added to others."""
    before, after = (spec.get("affinity") or {} for spec in (change.sent["spec"], change.wanted["spec"]))
    if after is before or after == before:
        return
    if _changed(before, after) - {"nodeAffinity"}:
        raise _Broken("reach: affinity to pods changed")
    old, new = before.get("nodeAffinity") or {}, after.get("nodeAffinity") or {}
    if _changed(old, new) - {_PREFERRED, _REQUIRED}:
        raise _Broken("reach: an unknown field of nodeAffinity changed")
    if new.get(_REQUIRED) is not old.get(_REQUIRED):
        _terms(affinity.required_terms(change.sent), affinity.required_terms(change.wanted))
    added = _added(old.get(_PREFERRED) or [], new.get(_PREFERRED) or [], "preferred terms")
    # A zone that the author preferred is not ours; one that was added is.
    ours = len(node_affinity.preferred_labels(change.wanted)) + len(
        [term for term in added if not node_affinity.preferred_labels(_preferring(term))]
    )
    if added and ours > node_affinity.MAX_PREFERRED:
        raise _Broken("placement: more preferred terms than a pod gets")
    for term in added:
        weight = term.get("weight")
        if not isinstance(weight, int) or not 1 <= weight <= 100:
            raise _Broken("validity: a preferred term's weight is not between 1 and 100")


def _preferring(term: Object) -> Object:
    return {"spec": {"affinity": {"nodeAffinity": {_PREFERRED: [term]}}}}


def _terms(old: list[Object], new: list[Object]) -> None:
    if not old:
        if len(new) != 1:
            raise _Broken("narrowing: more than one required term was added")
        return
    if len(new) != len(old):
        raise _Broken("narrowing: the number of required terms changed")
    for before, after in zip(old, new, strict=True):
        if after == before:
            continue
        had = before.get("matchExpressions") or []
        if not had and not before.get("matchFields"):
            raise _Broken("narrowing: a term that selects nothing was given requirements")
        if _changed(before, after) - {"matchExpressions"} or (after.get("matchExpressions") or [])[: len(had)] != had:
            raise _Broken("narrowing: a required term lost a requirement")


def _keeps_security(change: Change) -> None:
    """What we added on its own violates nothing at the namespace's level, so the pod violates no more than before."""
    if change.site.level is podsecurity.Level.PRIVILEGED:
        return
    before, after = change.sent["spec"], change.wanted["spec"]
    added = _added(items(before, "volumes"), items(after, "volumes"), "spec.volumes")
    alone = {"metadata": {}, "spec": {"containers": _made(change), "volumes": added}}
    found = podsecurity.violations(alone, change.site.level)
    if found:
        raise _Broken(f"PodSecurity {change.site.level}: {found[0]}")


def _keeps_resources(change: Change) -> None:
    """Our container asks for what one app container asks for, and no other container's resources were touched."""
    for made in _made(change):
        asked = made.get("resources", {})
        if not any(copied_resources(container) == asked for container in pods.app_containers(change.sent)):
            raise _Broken("resources: the init container asks for something no app container asks for")


def _changed(before: Object, after: Object) -> set[str]:
    """The keys whose values differ."""
    if before is after:
        return set()
    changed = before.keys() ^ after.keys()
    for key, value in after.items():
        if key in before and before[key] is not value and before[key] != value:
            changed.add(key)
    return changed


def _added(before: list[Any], after: list[Any], where: str) -> list[Any]:
    """The entries of `after` that are not of `before`, all of which must be there still, in their order."""
    if after is before:
        return []
    if not before:
        return after
    added, place = [], 0
    for entry in after:
        if place < len(before) and (entry is before[place] or entry == before[place]):
            place += 1
        else:
            added.append(entry)
    if place != len(before):
        raise _Broken(f"reach: {where} lost or changed an entry")
    return added
