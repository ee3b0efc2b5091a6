"""Plans of what to bake, and how a snapshot stands, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.cli import render
from webhook.report.bake import Item, Plan
from webhook.report.bake_check import Standing, State

_GIB = 2**30
_RATE = 300 * 2**20
"""The fastest volumeInitializationRate that EBS sells, bytes per second."""


def show(plan: Plan) -> None:
    """The plan as a table: what is baked first, then what is left out and why; not what nobody wants."""
    rows = [_row(one) for one in (*plan.baked, *(one for one in plan.left if one.starts))]
    if rows:
        headers = ["", "ARTIFACT", "STARTS", "NODES", "S/PULL", "S/NODE", "GIB", "ON DISK", "SHARED", "WHY NOT"]
        render.table(headers, rows)


def sentences(plan: Plan, counted: str, pods: int, nodes: int) -> Iterator[str]:
    """What to know of the plan: what it is made from, what it comes to, how good it is."""
    what = {
        "admissions": f"{render.count(pods, 'recorded admission')} over {render.count(nodes, 'node')}",
        "pods": f"{render.count(pods, 'running pod')} on {render.count(nodes, 'accelerator node')}",
        "nodes": f"what {render.count(nodes, 'accelerator node')} held",
    }
    yield f"counted {what[counted]}"
    unwanted = sum(not one.starts for one in plan.left)
    if unwanted:
        yield f"nothing that was counted wants {render.count(unwanted, 'image')} that nodes hold"
    if not plan.baked:
        yield "nothing to bake"
        return
    room = f"{plan.disk / _GIB:.1f} of {plan.terms.budget / _GIB:.1f} GiB"
    yield f"a new node saves {plan.saved:.0f} s on average, with {room} baked"
    yield f"the volume takes {plan.volume_gib} GiB or more: where it is fuller, the kubelet deletes images"
    if not plan.is_best:
        yield f"a better choice was not looked for to the end; none saves more than {plan.bound:.0f} s"
    if any(one.kind == "image" and not one.digest for one in plan.baked):
        yield "of some images no digest is known, so `bake check` cannot tell later whether they are stale: --registry"
    yield (
        f"baked is not hot: a volume of a snapshot reads at full speed after {plan.disk / _RATE:.0f} s at the earliest "
        "(volumeInitializationRate: 300), or with fast snapshot restore"
    )


def show_standings(found: Sequence[Standing]) -> None:
    """How each thing that was baked stands, the worst first."""
    order = [State.STALE, State.MISSING, State.UNUSED, State.UNKNOWN, State.CURRENT]
    rows = [
        [str(one.state), one.baked.name, _short(one.baked.digest), _short(one.now), one.reason]
        for one in sorted(found, key=lambda each: order.index(each.state))
    ]
    render.table(["STATE", "ARTIFACT", "BAKED", "NOW", "WHY"], rows)


def _row(item: Item) -> list[str]:
    return [
        "-" if item.reason else "bake",
        f"{item.name} ({item.tenant})" if item.tenant else item.name,
        str(item.starts),
        f"{item.per_node:.0%}",
        f"{item.seconds:.0f}",
        f"{item.saved:.1f}",
        f"{item.bytes / _GIB:.1f}" if item.bytes else "?",
        f"{item.disk / _GIB:.1f}" if item.disk else "?",
        f"{item.shared / _GIB:.1f}" if item.shared else "-",
        item.reason,
    ]


def _short(digest: str) -> str:
    return digest[:19] or "-"
