"""The inventory as nodes change: what did not change is the very object of last time."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from webhook.inventory.columns import Columns
from webhook.inventory.model import Artifact, Inventory, NodeRoom, Taint
from webhook.inventory.nodes import Taint as NodeTaint
from webhook.inventory.plan import Holding
from webhook.inventory.volumes import Terms

# To change one node in a set copies the set, and all sets when a node comes or goes: beyond so many of these, or one
# in so many of those, they are made anew.
FEW = 8
MANY = 8


class Row(NamedTuple):
    """What one accelerator node adds to the inventory.

    `held` are the artifacts that it is warm for, by label; `missing` the labels of those that it does not bear.
    `labels` are never changed in place, so that the same object means the same labels. `system` and `kubelet` are empty
    where the node does not say.
    """

    room: NodeRoom
    labels: Mapping[str, str]
    taints: tuple[NodeTaint, ...]
    system: str
    kubelet: str
    held: Mapping[str, Holding]
    missing: frozenset[str]


class _Known(NamedTuple):
    row: Row
    print: bytes


class Stock:
    """Rows by name of node, and the inventory that they make."""

    def __init__(self) -> None:
        self._rows: dict[str, _Known] = {}
        self._order: list[str] = []
        self._rooms: list[NodeRoom] = []
        self._held: Columns[str] = Columns()
        self._missing: Columns[str] = Columns()
        self._labels: Columns[tuple[str, str]] = Columns()
        self._taints: Columns[NodeTaint] = Columns()
        self._systems: Columns[str] = Columns()
        self._kubelets: Columns[str] = Columns()
        self._sizes: dict[str, dict[int, int]] = {}
        self._holdings: dict[str, Holding] = {}
        self._artifacts: dict[str, tuple[Artifact, bytes]] = {}
        self._ordered: list[str] = []
        self._label_view: dict[str, dict[str, int]] = {}
        self._taint_view: tuple[Taint, ...] = ()
        self._namespaces: Mapping[str, Mapping[str, str]] = {}
        self._system_view: dict[str, int] = {}
        self._kubelet_view: dict[str, int] = {}
        self._claims: Mapping[str, tuple[str, ...]] = {}
        self._common_print = _digest([{}, {}])
        self._volumes: Mapping[str, Terms] = {}
        self._server = ""
        self._storage_print = _digest([{}, ""])

    def tell(self, namespaces: Mapping[str, Mapping[str, str]], claims: Mapping[str, tuple[str, ...]]) -> None:
        """The labels of namespaces and the classes of claims, which are not changed in place from here on."""
        self._namespaces, self._claims = namespaces, claims
        self._common_print = _digest([namespaces, claims])

    def tell_volumes(self, volumes: Mapping[str, Terms], server: str) -> None:
        """The terms of claimed volumes, not changed in place from here on, and the API server's version."""
        self._volumes, self._server = volumes, server
        self._storage_print = _digest([volumes, server])

    def update(self, changed: Mapping[str, Row | None]) -> None:
        """Take in the rows of nodes that changed; None for one that is no accelerator node any more."""
        moves: list[tuple[str, Row | None, Row | None]] = []
        others = 0
        for name, row in changed.items():
            known = self._rows.get(name)
            before = known.row if known else None
            if before == row:
                continue
            self._count(before, row)
            if row is None:
                del self._rows[name]
            else:
                self._rows[name] = _Known(row, _print_of(row, known))
            others += before is None or row is None
            moves.append((name, before, row))
        if others <= FEW and len(moves) <= max(FEW, len(self._rows) // MANY):
            for name, before, row in moves:
                self._move(name, before, row)
        else:
            self._rebuild()
        self._view_labels()
        self._system_view = _view(self._systems, self._system_view)
        self._kubelet_view = _view(self._kubelets, self._kubelet_view)

    def inventory(
        self,
        *,
        time: float,
        named: Callable[[str], tuple[str, str] | None],
        remembered_bytes: Callable[[str], int],
    ) -> Inventory:
        """What the rows make. `named` gives tenant and source of a model by its label, as far as they are known."""
        self._make_artifacts(named, remembered_bytes)
        identity = hashlib.sha256()
        for name in self._order:
            identity.update(self._rows[name].print)
        for label in self._ordered:
            identity.update(self._artifacts[label][1])
        identity.update(self._common_print)
        identity.update(self._storage_print)
        return Inventory(
            id=identity.hexdigest()[:16],
            time=time,
            nodes=self._rooms,
            artifacts=[self._artifacts[label][0] for label in self._ordered],
            namespaces=self._namespaces,
            claims=self._claims,
            labels=dict(self._label_view),
            taints=self._taint_view,
            systems=self._system_view,
            kubelets=self._kubelet_view,
            server=self._server,
            volumes=self._volumes,
        )

    def _move(self, name: str, before: Row | None, now: Row | None) -> None:
        index = bisect_left(self._order, name)
        if now is None:
            assert before is not None
            del self._order[index], self._rooms[index]
            for column, keys in self._columns(before):
                column.delete(index, keys)
        elif before is None:
            self._order.insert(index, name)
            self._rooms.insert(index, now.room)
            for column, keys in self._columns(now):
                column.insert(index, keys)
        else:
            self._rooms[index] = now.room
            for (column, had), (_, has) in zip(self._columns(before), self._columns(now), strict=True):
                if had != has:
                    column.move(index, had, has)

    def _columns(self, row: Row) -> tuple[tuple[Columns[Any], Collection[Any]], ...]:
        """What of a row belongs in which column."""
        return (
            (self._held, row.held.keys()),
            (self._missing, row.missing),
            (self._labels, row.labels.items()),
            (self._taints, row.taints),
            (self._systems, _said(row.system)),
            (self._kubelets, _said(row.kubelet)),
        )

    def _rebuild(self) -> None:
        self._order = sorted(self._rows)
        rows = [self._rows[name].row for name in self._order]
        self._rooms = [row.room for row in rows]
        self._held.rebuild([row.held for row in rows])
        self._missing.rebuild([row.missing for row in rows])
        self._labels.rebuild([row.labels.items() for row in rows])
        self._taints.rebuild([row.taints for row in rows])
        self._systems.rebuild([_said(row.system) for row in rows])
        self._kubelets.rebuild([_said(row.kubelet) for row in rows])

    def _count(self, before: Row | None, now: Row | None) -> None:
        """Keep count of the sizes that nodes give an artifact, and of what is known of it."""
        for label, holding in (now.held if now else {}).items():
            sizes = self._sizes.setdefault(label, {})
            sizes[holding.bytes] = sizes.get(holding.bytes, 0) + 1
            self._holdings[label] = holding
            self._held.touched.add(label)
        for label, holding in (before.held if before else {}).items():
            sizes = self._sizes[label]
            sizes[holding.bytes] -= 1
            if not sizes[holding.bytes]:
                del sizes[holding.bytes]
            if not sizes:
                del self._sizes[label], self._holdings[label]
            self._held.touched.add(label)

    def _make_artifacts(
        self, named: Callable[[str], tuple[str, str] | None], remembered_bytes: Callable[[str], int]
    ) -> None:
        """Make those artifacts anew that are not what they were."""
        touched = self._held.touched | self._missing.touched
        self._held.touched.clear()
        self._missing.touched.clear()
        is_same_order = True
        for label in touched:
            before = self._artifacts.pop(label, None)
            if label not in self._held:
                is_same_order = is_same_order and before is None
                continue
            holding = self._holdings[label]
            # What stands for a model that one node knows by label alone may be known from another.
            known = (holding.tenant, holding.name) if holding.kind == "image" else named(label)
            tenant, name = known or ("", "")
            now = Artifact(
                kind=holding.kind,
                name=name,
                tenant=tenant,
                bytes=max(self._sizes[label]) or remembered_bytes(label),
                label=label,
                mask=self._held[label],
                unlabelled=self._missing[label],
            )
            if before is not None and before[0] == now:
                self._artifacts[label] = before
                continue
            is_same_order = is_same_order and before is not None and _rank(before[0]) == _rank(now)
            self._artifacts[label] = (now, _print_of_artifact(now))
        if not is_same_order:
            self._ordered = sorted(self._artifacts, key=lambda label: _rank(self._artifacts[label][0]))

    def _view_labels(self) -> None:
        if self._labels.touched:
            for key in {key for key, _ in self._labels.touched}:
                self._label_view[key] = dict(self._label_view.get(key, {}))
            for key, value in self._labels.touched:
                if (key, value) in self._labels:
                    self._label_view[key][value] = self._labels[key, value]
                else:
                    self._label_view[key].pop(value, None)
            for key in {key for key, _ in self._labels.touched}:
                if not self._label_view[key]:
                    del self._label_view[key]
            self._labels.touched.clear()
        if self._taints.touched:
            self._taint_view = tuple(Taint(*taint, self._taints[taint]) for taint in sorted(self._taints))
            self._taints.touched.clear()


def _said(word: str) -> tuple[str, ...]:
    return (word,) if word else ()


def _view(column: Columns[str], last: dict[str, int]) -> dict[str, int]:
    """The sets of a column as they are now: the very mapping of last time where none of them changed."""
    if not column.touched:
        return last
    column.touched.clear()
    return {key: column[key] for key in sorted(column)}


def _rank(artifact: Artifact) -> tuple[str, str, str, str]:
    return (artifact.kind, artifact.name, artifact.tenant, artifact.label)


def _print_of(row: Row, before: _Known | None) -> bytes:
    """What tells this row from others: digests of what seldom changes and of what often does."""
    if before is not None and before.row.labels is row.labels and _lasting(before.row) == _lasting(row):
        lasting = before.print[:16]
    else:
        lasting = _digest([row.labels, *_lasting(row)])
    return lasting + _digest([row.room.name, row.room.accelerators])


def _lasting(row: Row) -> tuple[tuple[NodeTaint, ...], str, str]:
    return row.taints, row.system, row.kubelet


def _print_of_artifact(artifact: Artifact) -> bytes:
    return _digest(
        [
            artifact.kind,
            artifact.name,
            artifact.tenant,
            artifact.bytes,
            artifact.label,
            f"{artifact.mask:x}",
            f"{artifact.unlabelled:x}",
        ]
    )


def _digest(content: object) -> bytes:
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).digest()[:16]
