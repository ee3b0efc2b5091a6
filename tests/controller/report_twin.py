"""A twin in memory of a cluster with workloads and kinds of reports: lists, discovery, single objects, all counted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tests.builders import CLIENT_PROFILE, HYDRATOR, NODE_CACHE, PRIVILEGED, gpu_pod, inventory, settings
from tests.controller.object_twin import Object, Twin
from webhook.controller.options import Reporting
from webhook.controller.pace import Pace
from webhook.controller.policy_reports import PolicyReports
from webhook.inventory.snapshot_writing import encode
from webhook.kube import names
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import DEPLOYMENTS, NAMESPACES, WEBHOOK_CONFIGURATIONS, Kind, ObjectRequest
from webhook.sources.kube_api.transport import Transport

POLICY_REPORTS = Kind("wgpolicyk8s.io", "v1alpha2", "policyreports")
REPORTS = Kind("openreports.io", "v1alpha1", "reports")
KINDS = {POLICY_REPORTS: "PolicyReport", REPORTS: "Report"}


class ReportTwin(Twin):
    """A `Caller`. `served` are the kinds of reports; `fault` may raise for a request."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[Kind] = list(KINDS)
        self.fault: Callable[[Any], None] = lambda _request: None
        self.put(NAMESPACES, "", {"metadata": {"name": names.SYSTEM_NAMESPACE}})

    async def call(self, request: Any) -> bytes:
        self.fault(request)
        if not isinstance(request, ObjectRequest):
            return json.dumps(self._discovered(request.path)).encode()
        if request.verb != "list":
            return await super().call(request)
        self.seen.append(request)
        wanted = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if request.kind.resource in ("policyreports", "reports") and request.kind not in self.served:
            raise ApiFailure(request.what, "missing", "no such kind", status=404)
        items = [
            {"metadata": found["metadata"]} if wanted else found
            for (resource, _, name), found in sorted(self.objects.items())
            if resource == request.kind.resource and wanted in ("", name)
        ]
        return json.dumps({"items": items, "metadata": {}}).encode()

    def put(self, kind: Kind, namespace: str, document: Object) -> Object:
        name = document["metadata"]["name"]
        uid = {"uid": f"{kind.resource}/{namespace}/{name}", "namespace": namespace}
        metadata = {**uid, **document["metadata"]}
        return super().put(kind, namespace, {**document, "metadata": metadata})

    def deploy(self, namespace: str, name: str = "llama", replicas: int = 1) -> None:
        template = gpu_pod()
        pod = {"metadata": {"annotations": template["metadata"]["annotations"]}, "spec": template["spec"]}
        document = {"metadata": {"name": name}, "spec": {"replicas": replicas, "template": pod}}
        self.put(DEPLOYMENTS, namespace, document)

    def register(self, path: str) -> None:
        hook = {"name": "pods.warmpod.dev", "clientConfig": {"service": {"path": path}}}
        self.put(WEBHOOK_CONFIGURATIONS, "", {"metadata": {"name": "warmpod"}, "webhooks": [hook]})

    def reports(self, kind: Kind = POLICY_REPORTS) -> dict[str, Object]:
        """By namespace."""
        return {place[1]: found for place, found in self.objects.items() if place[0] == kind.resource}

    def asked(self) -> list[str]:
        """What was asked since the last time, but for discovery."""
        found = [f"{one.verb} {one.kind.resource}" for one in self.seen]
        self.seen.clear()
        return found

    def _discovered(self, path: str) -> Object:
        groups = [
            {
                "metadata": {"name": kind.group},
                "versions": [
                    {
                        "version": kind.version,
                        "resources": [
                            {
                                "resource": kind.resource,
                                "responseKind": {"kind": KINDS.get(kind, "PolicyReport")},
                                "scope": "Namespaced",
                            }
                        ],
                    }
                ],
            }
            for kind in self.served
        ]
        return {"kind": "APIGroupDiscoveryList", "items": groups if path == "/apis" else []}


class Stage:
    """A twin, the files that a reporter reads, and reporters of them."""

    def __init__(self, directory: Path, *policies: str) -> None:
        self.twin = ReportTwin()
        self.directory = directory
        self.leading = True
        (directory / "policies").mkdir()
        self.write_policies(*policies)
        self.write_snapshot()

    def write_policies(self, *texts: str) -> None:
        (self.directory / "policies" / "policies.yaml").write_text("".join([*texts, NODE_CACHE, CLIENT_PROFILE]))

    def write_snapshot(self, age: float = 0.0) -> None:
        known = inventory(namespaces=dict.fromkeys(("a", "b", "c"), PRIVILEGED))
        data = encode(known.again("test", time.time() - age))
        (self.directory / "snapshot.json").write_bytes(data)

    def reporter(self) -> PolicyReports:
        wanted = Reporting(
            policies=self.directory / "policies",
            snapshot=self.directory / "snapshot.json",
            settings=settings(hydrator_image=HYDRATOR),
        )
        api = KubeApi(cast("Transport", self.twin))
        made = PolicyReports(api, names.SYSTEM_NAMESPACE, "warmpod", wanted, lambda: self.leading)
        made._pace = Pace(10_000, time.monotonic)
        return made
