"""An estimate of a start, for people and for programs."""

from __future__ import annotations

import dataclasses
from typing import Any

from webhook.cli import render
from webhook.cost.figures import Assumed
from webhook.cost.ladder import RUNGS
from webhook.cost.seconds import WORDS
from webhook.cost.situation import Engine, Fetch, Node, Pull, Techniques, Workload
from webhook.cost.start import Timeline, start, swings

_MOST_SWINGS = 5


def show_start(workload: Workload, node: Node, techniques: Techniques, assumed: Assumed, output: str) -> None:
    """Write one start: its phases, what a warm node saves, and which figures matter most."""
    found = start(workload, node, techniques, assumed)
    held = Fetch.CACHED if workload.model else Fetch.NONE
    warm = dataclasses.replace(techniques, pull=Pull.PRESENT, fetch=held, new_node=False, overlap=False)
    saving = start(workload, node, warm, assumed)
    swing = [each for each in swings(workload, node, techniques, assumed) if each.name not in assumed.given]
    if output == "json":
        document = {
            **_document(found),
            "warm": _document(saving),
            "saved": _rounded(found.seconds - saving.seconds),
            "swings": [
                {"figure": each.name, "best": _rounded(each.best), "worst": _rounded(each.worst)} for each in swing
            ],
        }
        render.show(render.json_text(document))
        return
    render.table(
        ["PHASE", "BEGINS", "SECONDS", "LIMITED BY"],
        [[each.name, f"{each.begins:.0f}", f"{each.seconds:.0f}", WORDS.get(each.bound, "-")] for each in found.phases],
    )
    lines = [
        "",
        f"serves after {_range(found)}",
        f"on a warm node after {_range(saving)}: {_difference(found.seconds - saving.seconds)}",
    ]
    lines += [f"{each.name} at its ends: {each.best:.0f} to {each.worst:.0f} s in all" for each in swing[:_MOST_SWINGS]]
    render.show("".join(f"{line}\n" for line in lines))


def show_ladder(workload: Workload, node: Node, engine: Engine, assumed: Assumed, output: str) -> None:
    """Write all ways, each in a line."""
    climbed = [(rung.name, rung.climb(workload, node, engine=engine, assumed=assumed)) for rung in RUNGS]
    if output == "json":
        render.show(render.json_text({"ways": [{"way": name, **_document(found)} for name, found in climbed]}))
        return
    rows = []
    for name, found in climbed:
        took = {each.name: each.seconds for each in found.phases}
        node_ready = took.get("provision", 0.0) + took.get("boot", 0.0)
        parts = [node_ready, *(took.get(part, 0.0) for part in ("pull", "fetch", "load", "init"))]
        rows.append([name, *(f"{part:.0f}" for part in parts), f"{found.seconds:.0f}", _ends(found)])
    render.table(["WAY", "NODE", "IMAGE", "FETCH", "LOAD", "INIT", "SECONDS", "RANGE"], rows)


def _document(found: Timeline) -> dict[str, Any]:
    return {
        "seconds": _rounded(found.seconds),
        "best": _rounded(found.best),
        "worst": _rounded(found.worst),
        "phases": [
            {
                "name": each.name,
                "begins": _rounded(each.begins),
                "seconds": _rounded(each.seconds),
                "limitedBy": each.bound,
            }
            for each in found.phases
        ],
    }


def _range(found: Timeline) -> str:
    return f"{found.seconds:.0f} s ({_ends(found)})"


def _ends(found: Timeline) -> str:
    return f"{found.best:.0f} to {found.worst:.0f}"


def _difference(saved: float) -> str:
    return f"{saved:.0f} s less" if saved >= 0.5 else "no less"


def _rounded(value: float) -> float:
    return round(value, 1)
