"""A healthy installation as the doctor would find it, made of the shipped manifests, and how to break parts of it."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.cli.doctor import rights
from webhook.doctor.deployment import settings
from webhook.doctor.evidence import Certificates, Counters, Evidence, Probe, Reply, Right, Seen
from webhook.kube import Object, names
from webhook.sources import replicas
from webhook.sources.replicas import Replica

BASE = Path(__file__).parents[2] / "manifests" / "base"
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
VERSION = "1.2.3"
IMAGE = f"ghcr.io/warmpod/warmpod:{VERSION}"
HOST = f"{names.WEBHOOK_SERVICE}.{names.SYSTEM_NAMESPACE}.svc"
PODS = ("warmpod-a", "warmpod-b")
LABELS = {"app.kubernetes.io/name": "warmpod", "app.kubernetes.io/component": "webhook"}

Change = Callable[[Evidence], Evidence]


@lru_cache
def authority() -> Pair:
    return issue_authority(NOW - timedelta(days=10))


@lru_cache
def leaf() -> Pair:
    return issue_leaf(authority(), [HOST], NOW - timedelta(days=10))


def serial() -> str:
    return format(leaf().certificate.serial_number, "x")


def certificates(**changed: Any) -> Certificates:
    known = Certificates(
        leaf=leaf().certificate_pem,
        authority=authority().certificate_pem,
        names=(HOST,),
        serial=serial(),
        not_after=leaf().certificate.not_valid_after_utc,
    )
    return replace(known, **changed)


@lru_cache
def _documents(name: str) -> list[Object]:
    return list(yaml.safe_load_all((BASE / name).read_text()))


def shipped(name: str) -> list[Object]:
    """The documents of a shipped file, to be changed as one likes."""
    return copy.deepcopy(_documents(name))


def registration(pem: bytes | None = None) -> Object:
    """The shipped one with a caBundle."""
    bundle = base64.b64encode(authority().certificate_pem if pem is None else pem).decode()
    found = shipped("mutatingwebhookconfiguration.yaml")[0]
    for hook in found["webhooks"]:
        hook["clientConfig"]["caBundle"] = bundle
    return found


def deployment(ready: int = 2, desired: int = 2) -> Object:
    found = shipped("deployment.yaml")[0]
    found["metadata"]["generation"] = 4
    found["spec"]["replicas"] = desired
    for container in found["spec"]["template"]["spec"]["containers"]:
        container["image"] = IMAGE
    found["status"] = {
        "observedGeneration": 4,
        "replicas": desired,
        "updatedReplicas": desired,
        **({"readyReplicas": ready} if ready else {}),
    }
    return found


def pod(name: str, **status: Any) -> Object:
    return {"metadata": {"name": name, "labels": {**LABELS, "pod-template-hash": "x"}}, "status": status}


def slices(ready: int = 2, not_ready: int = 0) -> list[Object]:
    endpoints = [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}} for _ in range(ready)]
    endpoints += [{"addresses": ["10.0.0.9"], "conditions": {"ready": False}} for _ in range(not_ready)]
    return [{"ports": [{"name": "webhook", "port": 8443}], "endpoints": endpoints}]


def replica(name: str, **changed: Any) -> Replica:
    """What a replica says; `changed` are fields of the webhook's status, but for `version` and `controller`."""
    status: Object = {
        "version": changed.pop("version", VERSION),
        "ready": True,
        "draining": False,
        "certificate": {"serial": serial(), "problem": None},
        "policies": {"count": 8, "digest": "d" * 16, "problems": 0, "problem": None},
        "snapshot": {"id": "s", "age": 2.0, "usable": True, "problem": None},
        "hydratorImage": IMAGE,
        "reviews": 7,
    }
    controller = {"snapshotAge": 2.0, "leading": name == PODS[0], "problems": [], **changed.pop("controller", {})}
    told = Replica(
        name=name,
        identity=name,
        renewed=NOW - timedelta(seconds=changed.pop("silent", 3)),
        version=str(status["version"]),
        webhook={**status, **changed},
        controller=controller,
    )
    # By way of the Lease, so that what is tested is what can be read back.
    found = replicas.parse(replicas.document(told, names.SYSTEM_NAMESPACE, told.renewed or NOW))
    assert found is not None
    return found


def reply(**changed: Any) -> Reply:
    known = Reply(version=VERSION, mode="Enforce", digest="d" * 16, policies=8, serial=serial(), snapshot_age=2.0)
    return replace(known, **changed)


def needed() -> list[Right]:
    return rights(names.SYSTEM_NAMESPACE, settings(Seen(deployment()), "controller"))


@lru_cache
def healthy() -> Evidence:
    """As it should be. Its documents are shared: `edited` makes copies."""
    policy, binding = shipped("validatingadmissionpolicy.yaml")
    conditions = {one["name"]: one["expression"] for one in registration()["webhooks"][0]["matchConditions"]}
    return Evidence(
        server="https://10.0.0.1:6443",
        version="v1.36.3",
        now=NOW,
        skew=0.4,
        our_version=VERSION,
        conditions=conditions,
        system=Seen({"metadata": {"name": names.SYSTEM_NAMESPACE}}),
        deployment=Seen(deployment()),
        pods=Seen([pod(name) for name in PODS]),
        service=Seen(shipped("service.yaml")[0]),
        slices=Seen(slices()),
        registration=Seen(registration()),
        mutating=Seen([registration()]),
        validating=Seen([]),
        certificates=Seen(certificates()),
        replicas=Seen([replica(name) for name in PODS]),
        lease=Seen({"spec": {"holderIdentity": PODS[0], "renewTime": "2026-11-22T02:59:58.000000Z"}}),
        policy=Seen(policy),
        binding=Seen(binding),
        rights={one: Seen(value=True) for one in needed()},
        namespaces=Seen([]),
        probed=Seen({"metadata": {"name": "default"}}),
        probe=Seen(Probe(201, "", reply())),
        before=Seen(Counters(calls=40)),
    )


def unanswered(evidence: Evidence, **changed: Any) -> Evidence:
    """The same, and nobody of ours answers the probe."""
    return replace(
        evidence,
        probe=Seen(Probe(201)),
        before=Seen(Counters(fail_open=3, calls=40)),
        after=Seen(Counters(fail_open=4, calls=41)),
        **changed,
    )


def edited(document: Object, *path: Any, value: Any) -> Object:
    """A copy with another value at a path."""
    made = copy.deepcopy(document)
    part: Any = made
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return made
