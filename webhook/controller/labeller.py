"""Labels on nodes, by the one that leads: only what differs, not too fast, and never against somebody else's will.

A node that got what it should, or what it could get, is left alone until the plan for it or its labels change. Somebody
who takes a label away again and again is answered later and later, not faster and faster.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from webhook.controller.inventories import Plans
from webhook.controller.pace import Pace
from webhook.daemon.logs import LOGGER
from webhook.sources.kube_api.writes import Conflict, NodeGone, Refused, Throttled

RESULTS = ("applied", "conflict", "gone", "throttled", "refused", "failed")
IN_FLIGHT = 8

_LOOK_SECONDS = 0.2
_PASS_SECONDS = 2.0  # after which the order is asked for anew
_ECHO_SECONDS = 30.0  # in which the watch must have brought back what was written; else it is written once more
_AGAIN_SECONDS = 5.0  # before the second repetition at a node; twice as long before each further one
_AGAIN_MOST = 600.0
_FORGIVEN_SECONDS = 1200.0
_PAUSE_SECONDS = 0.5
_PAUSE_MOST = 60.0
_REFUSALS = 3  # one after the other, without a success: it is not the nodes
_REMEDY = (
    "apply the ClusterRole and the ValidatingAdmissionPolicy of manifests/base, and see which other admission policy "
    "guards nodes"
)


class NodeWriter(Protocol):
    """Who labels nodes; KubeApi does."""

    async def apply_labels(self, node: str, uid: str, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Make `labels` ours on the node; all of our prefix that it then bears. Raises as KubeApi's."""
        ...


@dataclass(slots=True)
class _Memory:
    """The last write to a node: when `seen` was what it bore, `wanted` was planned, and `got` what came of it.

    `got` is None after a write that failed. `foreign` maps the keys that were left to others to their values then.
    """

    uid: str
    wanted: Mapping[str, str]
    seen: Mapping[str, str]
    got: Mapping[str, str] | None
    foreign: Mapping[str, str | None]
    at: float
    attempts: int
    not_before: float


class Labeller:
    """Brings nodes' labels in line with the plan. `may_write` is asked right before every write."""

    def __init__(
        self,
        writer: NodeWriter,
        plans: Plans,
        may_write: Callable[[], bool],
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._plans = plans
        self._may_write = may_write
        self._clock = clock
        self._pace = Pace(per_second, clock)
        self._memory: dict[str, _Memory] = {}
        self._short: dict[str, list[str]] = {}
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._troubles = 0
        self._refusals = 0
        self._refused: dict[str, str] = {}
        self._trouble: str | None = None
        self.writes: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))

    async def run(self) -> None:
        """Label for ever; cancelling it ends the writes in flight. What it remembers is of one run."""
        self._memory.clear()
        self._short.clear()
        self._refused.clear()
        try:
            while True:
                began = self._clock()
                behind = self._plans.behind()
                for node in behind:
                    if self._is_due(node):
                        await self._start(node)
                        if self._clock() > began + _PASS_SECONDS:
                            break
                self._forget(len(behind))
                await asyncio.sleep(max(_LOOK_SECONDS, min(10 * (self._clock() - began), _PASS_SECONDS)))
        finally:
            left = list(self._flying.values())
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)

    @property
    def problem(self) -> str | None:
        """Why labels are not written at present, of all nodes or of some; None when nothing stands in the way."""
        refused = [text for node, text in self._refused.items() if self._is_behind(node)]
        if self._trouble or not refused:
            return self._trouble
        return refused[0] + (f" (and {len(refused) - 1} more nodes)" if len(refused) > 1 else "")

    @property
    def trouble(self) -> str | None:
        """The same in short, without names of nodes; the log has the rest."""
        if self._trouble:
            return "not written at present: log line `labels not written`"
        refused = sum(self._is_behind(node) for node in self._refused)
        return f"refused on {refused} nodes: log line `label refused`; {_REMEDY}" if refused else None

    @property
    def conflicts(self) -> dict[str, list[str]]:
        """Nodes that could not get what is planned because somebody else has these labels on them."""
        return {node: keys for node, keys in self._short.items() if self._is_behind(node)}

    def _is_behind(self, node: str) -> bool:
        return self._plans.observed(node) != self._plans.planned(node)

    async def _start(self, node: str) -> None:
        while len(self._flying) >= IN_FLIGHT:
            await asyncio.wait(self._flying.values(), return_when=asyncio.FIRST_COMPLETED)
        await self._pace.turn()
        if self._may_write() and self._is_due(node):  # it may have changed while we waited
            task = asyncio.create_task(self._label(node))
            self._flying[node] = task
            task.add_done_callback(lambda _: self._flying.pop(node, None))

    def _is_due(self, node: str) -> bool:
        uid, wanted, observed = self._plans.uid(node), self._plans.planned(node), self._plans.observed(node)
        if not uid or node in self._flying or wanted == observed:
            return False
        memory = self._memory.get(node)
        if memory is None or memory.uid != uid:
            return True
        now = self._clock()
        if memory.got is not None:
            if wanted != memory.wanted:
                return True
            if observed == memory.got:
                return False  # all that could be had, and still there
            if observed == memory.seen and now < memory.at + _ECHO_SECONDS:
                return False  # the watch has not brought our own write back yet
        return now >= memory.not_before

    async def _label(self, node: str) -> None:
        """One write, and a second without the labels that others have."""
        uid, wanted, seen = self._plans.uid(node), dict(self._plans.planned(node)), dict(self._plans.observed(node))
        last = self._memory.get(node)
        if last is not None and (last.uid != uid or last.wanted != wanted):
            last = None
        foreign = {} if last is None else {key: at for key, at in last.foreign.items() if seen.get(key) == at}
        got: Mapping[str, str] | None = None
        wait = 0.0
        try:
            try:
                got = await self._apply(node, uid, wanted, foreign)
            except Conflict as conflict:
                self.writes["conflict"] += 1
                foreign |= {key: seen.get(key) for key in conflict.keys}
                await self._pace.turn()
                if not self._may_write():
                    return
                got = await self._apply(node, uid, wanted, foreign)
        except NodeGone:
            self.writes["gone"] += 1
            self._refused.pop(node, None)
            wait = _ECHO_SECONDS
        except Throttled as error:
            self._pause("throttled", error, error.seconds)
        except (Conflict, Refused) as error:
            wait = self._refuse(node, error, last)
        except Exception as error:  # noqa: BLE001  a defect at one node must not keep the others waiting
            LOGGER.exception("labelling failed", extra={"fields": {"node": node}, "throttled": True})
            self._pause("failed", error, 0.0)
            wait = _AGAIN_SECONDS
        now = self._clock()
        again = last is not None and now < last.at + _FORGIVEN_SECONDS
        attempts = last.attempts + 1 if last is not None and again else 1
        if got is not None:
            self._succeed(node, wanted, got)
            wait = _growing(attempts - 2) if attempts > 1 else 0.0
        self._memory[node] = _Memory(uid, wanted, seen, got, foreign, now, attempts, now + wait)

    async def _apply(
        self, node: str, uid: str, wanted: Mapping[str, str], foreign: Mapping[str, str | None]
    ) -> Mapping[str, str]:
        labels = {key: value for key, value in wanted.items() if key not in foreign}
        return await self._writer.apply_labels(node, uid, labels)

    def _succeed(self, node: str, wanted: Mapping[str, str], got: Mapping[str, str]) -> None:
        self.writes["applied"] += 1
        self._troubles = self._refusals = 0
        if self._trouble:
            LOGGER.info("labels written again")
        self._trouble = None
        self._refused.pop(node, None)
        keys = sorted(key for key in {*wanted, *got} if wanted.get(key) != got.get(key))
        if not keys:
            self._short.pop(node, None)
        elif self._short.get(node) != keys:
            self._short[node] = keys
            fields = {"node": node, "labels": keys}
            LOGGER.warning("labels left to another owner", extra={"fields": fields, "throttled": True})

    def _refuse(self, node: str, error: Exception, last: _Memory | None) -> float:
        """Count it, tell of it; for how long to leave the node alone."""
        self.writes["refused"] += 1
        if not self._pace.paused:  # as in _pause
            self._refusals += 1
        if self._refusals >= _REFUSALS:
            self._pace.pause(min(2.0 ** min(self._refusals - _REFUSALS, 16), _PAUSE_MOST))
        text = f"{error}; {_REMEDY}"
        if self._refused.get(node) != text:
            LOGGER.warning("label refused", extra={"fields": {"node": node, "error": text}, "throttled": True})
        self._refused[node] = text
        return _growing(last.attempts if last is not None else 0)

    def _pause(self, result: str, error: Exception, seconds: float) -> None:
        """Nothing is written for a while, longer each time it happens again."""
        self.writes[result] += 1
        own = min(_PAUSE_SECONDS * 2.0 ** min(self._troubles, 16), _PAUSE_MOST / 2)
        if not self._pace.paused:  # writes that were in flight together fail together
            self._troubles += 1
        self._pace.pause(min(max(seconds, own), _PAUSE_MOST))
        text = str(error) or type(error).__name__
        if self._trouble != text:
            LOGGER.warning("labels not written", extra={"fields": {"error": text}, "throttled": True})
        self._trouble = text

    def _forget(self, behind: int) -> None:
        """Drop what is remembered of nodes that are gone, when there is more than there can be of those behind."""
        if len(self._memory) > 2 * behind + 1000:
            self._memory = {node: memory for node, memory in self._memory.items() if self._plans.uid(node)}
            self._short = {node: keys for node, keys in self._short.items() if self._plans.uid(node)}
            self._refused = {node: text for node, text in self._refused.items() if self._plans.uid(node)}


def _growing(times: int) -> float:
    return float(min(_AGAIN_SECONDS * 2.0 ** min(times, 16), _AGAIN_MOST))
