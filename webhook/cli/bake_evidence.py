"""What pods want and nodes hold: from records, from a dump, from an inventory's file, or from the live cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from webhook.cli.cluster import cluster_options
from webhook.cli.errors import CouldNotRun
from webhook.cli.options import Decorated, accelerator_options, accelerators_of, option
from webhook.cli.progress import Bar
from webhook.inventory.model import EMPTY, Inventory
from webhook.kube import Object, image
from webhook.kube import pod as pods
from webhook.report.bake import Demand
from webhook.report.bake_use import Use, Uses, Wanted, is_over, per_node

if TYPE_CHECKING:
    from webhook.kube.accelerator import Accelerators

_PATH: Final = click.Path(path_type=Path)
_FOR_EVER: Final = float(2**40)  # later than any inventory's time


@dataclass(frozen=True, slots=True)
class Source:
    """Where to look, by the options of the command line; what is None was not given."""

    records: Path | None
    since: str | None
    inventory: Path | None
    dump: Path | None
    kubeconfig: Path | None
    context: str | None
    accelerators: tuple[str, ...]
    device_classes: tuple[str, ...]
    pool: tuple[str, ...]

    @property
    def is_live(self) -> bool:
        """Whether the cluster is to be asked: it was named, or nothing else was."""
        named = self.kubeconfig is not None or self.context is not None
        return named or (self.records is None and self.inventory is None and self.dump is None)

    @property
    def marks(self) -> Accelerators:
        """What counts as an accelerator."""
        return accelerators_of(self.accelerators, self.device_classes)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found. `counted` says of what starts were counted: recorded admissions, running pods, or nodes.

    `pool` are the nodes that count, by name; `born` how many there were while it was counted.
    """

    counted: str
    uses: Uses
    inventory: Inventory
    pool: frozenset[str]
    born: int

    def demands(self, *, models: bool) -> list[Demand]:
        """Everything that is wanted on the pool's nodes, and what is held there and wanted by nobody."""
        held = self._held()
        found = {**{wanted: Use() for wanted in held}, **self.uses.found}
        return [
            Demand(wanted, *self._often(use, held.get(wanted, 0)), self._bytes(wanted))
            for wanted, use in found.items()
            if models or wanted.kind == "image"
        ]

    def _often(self, use: Use, holders: int) -> tuple[int, float]:
        if self.counted == "nodes":
            return holders, min(holders / self.born, 1.0) if self.born else 0.0
        if self.counted == "pods":
            return use.starts, min(len(use.nodes) / self.born, 1.0) if self.born else 0.0
        return use.starts, per_node(use.starts, self.born)

    def _held(self) -> dict[Wanted, int]:
        """Images that nodes of the pool hold, and how many do: by tag, by digest only those that have no tag there."""
        mask = _mask(self.inventory, self.pool)
        held = [one for one in self.inventory.artifacts if one.kind == "image" and one.mask & mask]
        tagged = {_repository(one.name) for one in held if "@" not in one.name}
        return {
            Wanted("image", one.name): (one.mask & mask).bit_count()
            for one in held
            if "@" not in one.name or _repository(one.name) not in tagged
        }

    def _bytes(self, wanted: Wanted) -> int:
        if wanted.kind == "image":
            held = self.inventory.image(wanted.name)
        else:
            held = self.inventory.model(wanted.name, wanted.tenant)
        return held.bytes if held is not None else 0


def evidence_options(function: Decorated) -> Decorated:
    """The options that make a `Source`."""
    for one in reversed(
        (
            option("--records", type=_PATH, metavar="DIR", help="What `warmpod webhook --record DIR` wrote."),
            option("--since", metavar="WHEN", help="Of records, not what is older: 24h, 7d, or a time in RFC 3339."),
            option("--inventory", type=_PATH, metavar="FILE", help="What nodes hold: a controller's snapshot."),
            option("--dump", type=_PATH, metavar="PATH", help="What kubectl dumped of nodes and pods."),
            option(
                "--pool",
                multiple=True,
                metavar="LABEL=VALUE",
                help="Only nodes with this label, and pods that may run there. Repeatable: all of them.",
            ),
            cluster_options,
            accelerator_options,
        )
    ):
        function = one(function)
    return function


def gather(source: Source, births: int | None = None) -> Evidence:
    """Look where the options say. `births` is how many nodes there were; None: those that are known. CouldNotRun."""
    if source.inventory is not None and source.dump is not None:
        raise CouldNotRun("--inventory and --dump: one inventory at a time", hint="leave one of them out")
    if source.since is not None and source.records is None:
        raise CouldNotRun("--since: what runs is as it is now", hint="it goes with --records")
    inventory = _inventory(source)
    pool = _pool(inventory, source.pool)
    uses = Uses()
    if source.records is not None:
        known = _recorded(source, inventory, pool, uses)
        born = births or known or len(pool)
        if uses.pods and not born:
            raise CouldNotRun(
                f"--records: {source.records}: on how many nodes the pods ran is not known",
                hint="say it with --births N, or name an --inventory; `--record` keeps inventories beside records",
            )
        return Evidence("admissions", uses, inventory, pool, born)

    def take(pod: Object) -> None:
        node = pods.spec(pod).get("nodeName")
        if isinstance(node, str) and node in pool and not is_over(pod):
            uses.add(pod, node)

    if source.dump is not None:
        with _told_of(source.dump):
            from webhook.sources import dump_files

            for pod in dump_files.pods(source.dump):
                take(pod)
    elif source.is_live:
        _running(source, take)
    is_blind = source.dump is None and not source.is_live
    return Evidence("nodes" if is_blind else "pods", uses, inventory, pool, births or len(pool))


def _inventory(source: Source) -> Inventory:
    """What nodes hold, from the one place that was named for it, else from the cluster or from beside the records."""
    if source.inventory is not None:
        from webhook.cli.world import read_inventory

        return read_inventory(str(source.inventory)) or EMPTY
    if source.dump is not None:
        from webhook.controller.stock import from_dump

        with _told_of(source.dump):
            return from_dump(source.dump, source.marks)
    if source.is_live:
        return _live(source)
    from webhook.sources.record_inventories import RecordInventories

    assert source.records is not None, "else the cluster is asked"
    return RecordInventories(source.records).find("", _FOR_EVER).inventory or EMPTY


@contextmanager
def _told_of(dump: Path) -> Iterator[None]:
    from webhook.sources import dump_files

    try:
        yield
    except OSError as error:
        raise CouldNotRun(f"--dump: {error.filename or dump}: {error.strerror or error}") from error
    except dump_files.UnreadableDump as error:
        raise CouldNotRun(f"--dump: {error}", hint=f"write it with `{dump_files.COMMAND}`") from error


def _live(source: Source) -> Inventory:
    from webhook.controller.stock import take_stock
    from webhook.sources.kube_api import ApiFailure, NoCluster

    try:
        return take_stock(source.kubeconfig, source.context, source.marks)[1]
    except NoCluster as error:
        raise CouldNotRun(str(error), hint="--records, --dump and --inventory need no cluster") from error
    except ApiFailure as failure:
        hint = "it takes the right to list nodes, pods and namespaces" if failure.kind == "forbidden" else ""
        raise CouldNotRun(str(failure), hint=hint) from failure


def _running(source: Source, take: Callable[[Object], None]) -> None:
    """Give `take` every pod of the cluster, and keep none."""
    from webhook.cli.live import asked
    from webhook.sources.kube_api import KubeApi
    from webhook.sources.kube_api.objects import PODS
    from webhook.sources.kube_api.resources import listed

    with Bar("pods") as bar:

        async def every(api: KubeApi) -> None:
            async for pod in listed(api, PODS):
                take(pod)
                bar.advance()

        asked(source.kubeconfig, source.context, every)


def _pool(inventory: Inventory, wanted: tuple[str, ...]) -> frozenset[str]:
    """The nodes that have all of these labels, by name."""
    mask = -1
    for text in wanted:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise CouldNotRun(f"--pool: {text!r} is not LABEL=VALUE", hint="write karpenter.sh/nodepool=gpu")
        if inventory.labels is None:
            raise CouldNotRun("--pool: this inventory has no labels of nodes")
        mask &= inventory.labels.get(key, {}).get(value, 0)
    found = frozenset(node.name for index, node in enumerate(inventory.nodes) if mask >> index & 1)
    if wanted and not found:
        raise CouldNotRun(f"--pool: no accelerator node has {' and '.join(wanted)}")
    return found


def _recorded(source: Source, inventory: Inventory, pool: frozenset[str], uses: Uses) -> int:
    """Count what was recorded; returns how many nodes there were meanwhile, 0 where nobody knows."""
    from webhook.cli.recorded import creations
    from webhook.cli.since import since_of
    from webhook.cli.unreadable import Unreadable
    from webhook.sources.record_inventories import RecordInventories

    assert source.records is not None, "the caller has looked"
    passed, begin = Unreadable(), since_of(source.since, datetime.now(UTC))
    may_run = _runs_in(inventory, pool) if source.pool else None
    for recorded, _, decision in creations(source.records, begin, passed):
        marks = recorded.facts.settings.accelerators
        namespace = recorded.request.namespace
        if decision.allowed and decision.pod and (may_run is None or may_run(decision.pod, namespace, marks)):
            uses.add(decision.pod)
    passed.tell()
    if source.pool:
        return 0
    return len(RecordInventories(source.records).node_names(0.0 if begin is None else begin.timestamp()))


def _runs_in(inventory: Inventory, pool: frozenset[str]) -> Callable[[Object, str, Accelerators], bool]:
    """Whether a pod, of a namespace, could run on a node of the pool."""
    from webhook.inventory.candidates import demand_of

    mask = _mask(inventory, pool)

    def may_run(pod: Object, namespace: str, marks: Accelerators) -> bool:
        asked = frozenset[str]().union(*marks.of_pod(pod, inventory.claims, namespace).values())
        return bool(inventory.candidates(demand_of(pod, asked)).able & mask)

    return may_run


def _mask(inventory: Inventory, pool: frozenset[str]) -> int:
    return sum(1 << index for index, node in enumerate(inventory.nodes) if node.name in pool)


def _repository(name: str) -> str:
    found = image.parse(name)
    return found.name if isinstance(found, image.Reference) else name
