"""The nodes and the pods on them, as they come and go."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from webhook.inventory import node_images, nodes, pods, report
from webhook.inventory.backlog import Backlog
from webhook.inventory.devices import Devices
from webhook.inventory.images import Images
from webhook.inventory.models import Models
from webhook.inventory.node_images import NOTHING_KNOWN, Use
from webhook.inventory.node_state import Former, NodeState, boot_mark
from webhook.inventory.objects import Node, Pod
from webhook.inventory.pods import PodFacts
from webhook.inventory.rules import Rules
from webhook.inventory.stock import Row
from webhook.kube import names


class Fleet:
    """Nodes by name, pods by "namespace/name", and what follows from them for each node.

    `now` is the latest time that was told. `is_watching`: the pods that were there before us are known, so that one not
    seen yet is new. `changes` grows with every change that may matter. `restated` are nodes whose part of the inventory
    was worked out anew; whoever acts on it empties it.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 0.0
        self.is_watching = False
        self.changes = 0
        self.nodes: dict[str, NodeState] = {}
        self.pods: dict[str, PodFacts] = {}
        self.models = Models()
        self.devices = Devices()
        self.backlog = Backlog()
        self.restated: dict[str, Row | None] = {}
        self.placements: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self._images = Images()
        self._expiries: list[tuple[float, str]] = []
        self._adopters: dict[str, set[str]] = {}
        self._unsettled: set[str] = set()
        self._speaks_for_all = _matcher(rules.cluster_cache_namespaces)

    def known_nodes(self) -> set[str]:
        """The names of the nodes that exist."""
        return {name for name, state in self.nodes.items() if state.facts is not None}

    def due(self) -> float | None:
        """When something changes by itself: images of pods that went may be gone."""
        return self._expiries[0][0] if self._expiries else None

    def put_node(self, node: Node) -> None:
        """Take in a node that was added or modified."""
        name = node.metadata.name
        state = self.nodes.get(name)
        before = state.facts if state else None
        now = nodes.facts(node, self.rules.accelerators, before)
        if state is None:
            state = self.nodes[name] = NodeState(name)
        elif now is before:
            return
        adopted_before = state.adopted()
        is_another = before is not None and bool(before.uid and now.uid) and before.uid != now.uid
        if is_another or (state.boot and now.boot and state.boot != now.boot):
            state.models.forget(self.now)
            state.former.clear()
        if now.created and (is_another or before is None):
            # An earlier node of this name may have left pods behind, and what they reported went with it.
            state.models.distrust(now.created)
        state.boot = now.boot or state.boot
        boot, since = boot_mark(now.ours)
        if boot and boot != names.digest16(state.boot):
            state.models.distrust(since)  # written in another boot: what was reported up to then is of that one too
        if before is None or before.images != now.images or is_another:
            raw = node.status.images if node.status else msgspec.Raw(b"null")
            listing = node_images.listing(
                raw, self._images, most=self.rules.max_images, least=self.rules.min_image_bytes
            )
            self._images.recount(state.listing.images, listing.images)
            state.listing = listing
        state.facts = now
        self._index_adopters(name, adopted_before, state.adopted())
        self._name_models(state)
        self.unsettle({name})

    def remove_node(self, name: str) -> None:
        """Take out a node."""
        state = self.nodes.get(name)
        if state is None or state.facts is None:
            return
        self._images.recount(state.listing.images, ())
        self._index_adopters(name, state.adopted(), {})
        state.models.forget(self.now)
        state.facts, state.listing, state.boot = None, NOTHING_KNOWN, ""
        state.former.clear()
        self._name_models(state)
        self.unsettle({name})
        self._forget_empty(state)

    def _forget_empty(self, state: NodeState) -> None:
        """Drop the state of a name that stands for nothing: neither a node nor pods bound to it."""
        if state.facts is None and not state.pods:
            del self.nodes[state.name]
            self.unsettle({state.name})

    def put_pod(self, key: str, pod: Pod) -> None:
        """Take in a pod that was added or modified."""
        before = self.pods.get(key)
        now = pods.facts(pod, self._images, self.rules.accelerators)
        if now == before:
            return
        if before is not None and (before.uid != now.uid or (before.node and before.node != now.node)):
            self.remove_pod(key)
            before = None
        is_new = before is None and self.is_watching
        if now.node and (is_new or (before is not None and not before.node)):
            self._count_placement(now.node, before.asked if before is not None else pods.asked(pod))
        self.pods[key] = now
        if now.node:
            state = self.nodes.get(now.node)
            if state is None:
                state = self.nodes[now.node] = NodeState(now.node)
            self._change_uses(state, before.uses if before else (), now.uses)
            self._change_requests(state, before.requests if before else (), now.requests)
            state.pods[key] = now
            self._absorb(state, pod, set(before.reports) if before else set(), now.reports)
            self.unsettle({now.node})

    def remove_pod(self, key: str) -> None:
        """Take out a pod."""
        facts = self.pods.pop(key, None)
        if facts is None:
            return
        state = self.nodes.get(facts.node) if facts.node else None
        if state is not None:
            del state.pods[key]
            self._change_uses(state, facts.uses, ())
            self._change_requests(state, facts.requests, ())
            self.unsettle({facts.node})
            self._forget_empty(state)

    def _change_uses(self, state: NodeState, before: tuple[Use, ...], now: tuple[Use, ...]) -> None:
        """Keep what is not used any more for as long as the kubelet keeps it, where the node's list would not tell."""
        if state.facts is None or state.listing.reach < 0:
            return
        used = {use.reference for use in now}
        until = self.now + self.rules.image_gc_min_age
        for use in before:
            if use.reference not in used:
                state.former[use.reference] = Former(use._replace(running=False), until)
                heapq.heappush(self._expiries, (until, state.name))

    def _change_requests(
        self, state: NodeState, before: Iterable[tuple[str, int]], now: Iterable[tuple[str, int]]
    ) -> None:
        for resource, amount in before:
            state.used[resource] -= amount
            if not state.used[resource]:
                del state.used[resource]
        for resource, amount in now:
            state.used[resource] = state.used.get(resource, 0) + amount

    def _absorb(self, state: NodeState, pod: Pod, known: set[bytes], digests: tuple[bytes, ...]) -> None:
        """Take in those of the pod's reports that are not known yet."""
        namespace = pod.metadata.namespace
        for digest, words in zip(digests, pods.last_words(pod), strict=True):
            if digest in known:
                continue
            found = report.read(words.message or "")
            time = report.seconds(words.finished_at)
            if isinstance(found, report.Refusal):
                self.refused[found.reason] += 1
            elif time is None:
                self.refused["undated"] += 1
            else:
                for_all = self._speaks_for_all(namespace)
                refused = state.models.absorb(found, namespace, time, for_all=for_all)
                if refused:
                    self.refused["tenant"] += refused
                self._name_models(state)

    def _count_placement(self, node: str, asked: tuple[str, ...]) -> None:
        if asked:
            self.settle()
            state = self.nodes.get(node)
            for label in asked:
                is_warm = state is not None and label in state.holdings
                self.placements[pods.kind(label), "warm" if is_warm else "cold"] += 1

    def _name_models(self, state: NodeState) -> None:
        """Tell the directory of models what the node's reports speak of, as long as the node is known itself."""
        now = state.models.keys() if state.facts is not None else set()
        touched: set[str] = set()
        for key in state.named - now:
            touched |= self._adopters.get(self.models.label(key), set())
            touched |= self.models.drop(key, state.name)
        for key in now:
            touched |= self.models.state(key, state.name, state.models.checked(key))
            if key not in state.named:
                touched |= self._adopters.get(self.models.label(key), set())
        state.named = now
        self.unsettle(touched)

    def _index_adopters(self, node: str, before: Iterable[str], now: Iterable[str]) -> None:
        for label in before:
            self._adopters[label].discard(node)
            if not self._adopters[label]:
                del self._adopters[label]
        for label in now:
            self._adopters.setdefault(label, set()).add(node)

    def unsettle(self, nodes: set[str]) -> None:
        """Something changed for these nodes."""
        if nodes:
            self._unsettled |= nodes
            self.changes += 1

    def unsettle_adopters(self) -> None:
        """What labels stand for may be known now."""
        self.unsettle({node for adopters in self._adopters.values() for node in adopters})

    def settle(self) -> None:
        """Work out anew what follows for the nodes that something changed for."""
        self._expire()
        self._resize()
        unsettled, self._unsettled = self._unsettled, set()
        for name in unsettled:
            self._restate(name)

    def _expire(self) -> None:
        while self._expiries and self._expiries[0][0] <= self.now:
            _, name = heapq.heappop(self._expiries)
            state = self.nodes.get(name)
            if state is not None:
                state.former = {use: each for use, each in state.former.items() if each.until > self.now}
                self.unsettle({name})

    def _resize(self) -> None:
        """An image known from pods alone has the size that other nodes give it."""
        if self._images.resized:
            resized, self._images.resized = self._images.resized, set()
            for name, state in self.nodes.items():
                references = {use.reference for use in state.uses()} | state.former.keys()
                if any(not resized.isdisjoint(reference.names) for reference in references):
                    self.unsettle({name})

    def _restate(self, name: str) -> None:
        state = self.nodes.get(name)
        if state is not None:
            devices = self.devices.of(name)
            state.settle(self.models, devices, least=self.rules.min_image_bytes, most=self.rules.max_labels)
        if state is None or state.facts is None:
            self.restated[name] = None
            self.backlog.remove(name)
            return
        self.restated[name] = state.row()
        ours = state.facts.ours
        if state.facts.deleted or state.labels() == ours:
            self.backlog.remove(name)
        else:
            gain = sum(holding.bytes for holding in state.planned if holding.label not in ours)
            self.backlog.put(name, gain)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a name matches one of the patterns."""
    alternatives = [re.compile(".*".join(re.escape(part) for part in pattern.split("*"))) for pattern in patterns]
    return lambda name: any(each.fullmatch(name) for each in alternatives)
