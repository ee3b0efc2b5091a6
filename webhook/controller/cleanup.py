"""`warmpod controller --cleanup`: labels of ours off every node, and our reports deleted, while nobody writes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from webhook.controller.election import Election
from webhook.controller.options import Access
from webhook.controller.pace import Pace
from webhook.controller.report_store import stores
from webhook.daemon.process import CannotStart
from webhook.kube import names
from webhook.sources.kube_api import ApiFailure, KubeApi, NoCluster, NodeGone, Refused, Throttled

WAIT_SECONDS = 60.0
"""How long to wait for the lease: longer than an abandoned one holds."""

_TRIES = 5
_PAUSE_MOST = 60.0
_UNNAMED = frozenset({"missing", "forbidden"})  # who may not see reports wrote none


class Cleaned(NamedTuple):
    """How many nodes there are, from how many labels were taken, and what could not be: node and reason.

    `reports` were deleted.
    """

    nodes: int
    cleaned: int
    failed: Sequence[tuple[str, str]]
    reports: int = 0


def clean(access: Access, per_second: float, say: Callable[[str], None], wait_seconds: float = WAIT_SECONDS) -> Cleaned:
    """Take the lease, strip the nodes, release it. `say` gets a line now and then. CannotStart.

    It can be broken off and begun again at any point.
    """
    try:
        return asyncio.run(_clean(access, per_second, say, wait_seconds))
    except NoCluster as error:
        raise CannotStart(str(error)) from error


async def _clean(access: Access, per_second: float, say: Callable[[str], None], wait_seconds: float) -> Cleaned:
    async with KubeApi.connect(access.kubeconfig, access.context) as api:
        lease = access.lease(api)
        election = Election(lease, f"{access.name()}_cleanup")
        result: list[Cleaned] = []

        async def lead() -> None:
            try:
                result.append(await _strip(api, election, per_second, say))
            except ApiFailure as failure:
                raise CannotStart(str(failure)) from failure

        working = asyncio.create_task(election.run(lead))
        began, told = time.monotonic(), ""
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=0.5)
                waited = time.monotonic() - began
                if election.terms or working.done():
                    continue
                holder = election.holder or "nobody yet"
                state = election.problem or f"held by {holder}"
                if waited > wait_seconds:
                    raise CannotStart(
                        f"the lease {lease} could not be taken within {wait_seconds:.0f} s: {state}. A controller that "
                        "runs would put the labels back: scale the controllers down (or run them with --no-labels), "
                        "then try again"
                    )
                if state != told and waited > 1:
                    say(f"waiting for the lease {lease}: {state}")
                    told = state
        finally:
            working.cancel()
            await asyncio.wait({working})
        working.result()
        return result[-1]


async def _strip(api: KubeApi, election: Election, per_second: float, say: Callable[[str], None]) -> Cleaned:
    pace = Pace(per_second, time.monotonic)
    nodes, _ = await api.list("nodes")
    labelled = []
    for node in nodes:
        keys = [key for key in node.metadata.labels or {} if key.startswith(names.NODE_LABEL_PREFIX)]
        if keys:
            labelled.append((node.metadata.name, keys))
    failed = []
    told = time.monotonic()
    for done, (name, keys) in enumerate(labelled):
        problem = await _strip_one(api, election, pace, name, keys)
        if problem:
            failed.append((name, problem))
        if time.monotonic() > told + 5:
            told = time.monotonic()
            say(f"{done + 1} of {len(labelled)} nodes done")
    reports = await _delete_reports(api, election, pace, say)
    return Cleaned(len(nodes), len(labelled) - len(failed), failed, reports)


async def _delete_reports(api: KubeApi, election: Election, pace: Pace, say: Callable[[str], None]) -> int:
    """How many were deleted. What is left goes with the namespace of the installation, so it is no failure."""
    deleted = 0
    try:
        for store in await stores(api):
            for namespace, found in sorted((await store.found()).items()):
                if found.ours:
                    await pace.turn()
                    if not election.leading:
                        return deleted
                    deleted += await store.delete(namespace, found)
    except ApiFailure as failure:
        if failure.kind not in _UNNAMED:
            say(f"reports of policies are left, until the namespace goes: {failure}")
    return deleted


async def _strip_one(api: KubeApi, election: Election, pace: Pace, node: str, keys: Sequence[str]) -> str | None:
    """Why it could not be done; None when it is."""
    problem: str | None = None
    for attempt in range(_TRIES):
        await pace.turn()
        if not election.leading:
            return "the lease was lost"
        try:
            await api.strip_labels(node, keys)
        except NodeGone:
            return None
        except Throttled as error:
            problem = str(error)
            pace.pause(min(max(error.seconds, 2.0**attempt), _PAUSE_MOST))
        except Refused as error:
            return str(error)
        else:
            return None
    return problem
