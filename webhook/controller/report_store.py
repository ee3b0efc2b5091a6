"""The report documents of one kind in the API server: found, written when they change, deleted.

One report of a namespace is ours: the one of our name, with our label. One of our name that somebody else wrote stays
as it is. What is there is known by its metadata; a report is read only when it is not as this process left it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal, NamedTuple

from webhook.kube import Object, names
from webhook.kube.pod import metadata
from webhook.report import policy_report
from webhook.sources.kube_api import KubeApi
from webhook.sources.kube_api.discovery import Served, discover
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import ObjectApi
from webhook.sources.kube_api.resources import listed

KINDS: Final = frozenset({("wgpolicyk8s.io", "policyreports"), ("openreports.io", "reports")})
"""Groups and plural names of what is written, where it is served."""

_OLD: Final = frozenset({("wgpolicyk8s.io", "v1alpha1")})  # has `status` and `data` in place of `result`, `properties`
_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

Done = Literal["kept", "written"]


class Found(NamedTuple):
    """A report of our name in some namespace, by its metadata."""

    uid: str
    version: str
    ours: bool


class _Left(NamedTuple):
    """A report as this process left it: a digest stands for what it says."""

    uid: str
    version: str
    digest: str


class ReportStore:
    """Reports of one kind. Every method raises ApiFailure."""

    def __init__(self, api: KubeApi, served: Served) -> None:
        self._api = api
        self._objects = ObjectApi(api.transport)
        self.served = served
        self._left: dict[str, _Left] = {}

    async def found(self) -> dict[str, Found]:
        """What is there, by namespace: metadata of one list."""
        there = {}
        query = {"fieldSelector": f"metadata.name={names.POLICY_REPORT}"}
        async for one in listed(self._api, self.served.kind, accept=_METADATA, **query):
            about = metadata(one)
            there[str(about.get("namespace"))] = _found(one)
        self._left = {namespace: left for namespace, left in self._left.items() if namespace in there}
        return there

    def is_as_left(self, namespace: str, found: Found | None, digest: str) -> bool:
        """Whether a report is just as this process wrote it, or found it to be, and says what `digest` stands for."""
        return found is not None and self._left.get(namespace) == (found.uid, found.version, digest)

    async def read(self, namespace: str, found: Found | None) -> Object | None:
        """The whole report; None when there is none."""
        return await self._objects.find(self.served.kind, namespace, names.POLICY_REPORT) if found else None

    async def write(self, namespace: str, before: Object | None, sections: Object, owner: Object | None) -> None:
        """Make a report, or put it in the place of `before`."""
        wanted = policy_report.document(self.served.api_version, self.served.name, namespace, sections, owner)
        if before is None:
            stored = await self._objects.create(self.served.kind, namespace, wanted)
        else:
            stored = await self._objects.replace(self.served.kind, namespace, policy_report.over(before, wanted))
        self.leave(namespace, stored, digest(sections, owner))

    def leave(self, namespace: str, stored: Object, said: str) -> None:
        """Remember that this is what is there, and what it says."""
        found = _found(stored)
        self._left[namespace] = _Left(found.uid, found.version, said)

    async def delete(self, namespace: str, found: Found) -> bool:
        """Delete a report of ours; False when it is gone, or another one has its place."""
        try:
            await self._objects.delete(self.served.kind, namespace, names.POLICY_REPORT, uid=found.uid)
        except ApiFailure as failure:
            if failure.kind in ("missing", "conflict"):
                return False
            raise
        return True


async def stores(api: KubeApi) -> list[ReportStore]:
    """One for each kind that the API server serves, in a version that can say what we have to say. ApiFailure."""
    return [
        ReportStore(api, one)
        for one in await discover(api)
        if (one.kind.group, one.kind.resource) in KINDS and (one.kind.group, one.kind.version) not in _OLD
    ]


def digest(sections: Object, owner: Object | None) -> str:
    """What stands for what a report says, its times aside."""
    results = [{**one, "timestamp": None} for one in sections["results"]]
    text = json.dumps([results, sections["summary"], owner], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _found(report: Object) -> Found:
    about = metadata(report)
    return Found(str(about.get("uid")), str(about.get("resourceVersion")), policy_report.is_ours(report))
