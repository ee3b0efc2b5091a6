"""What a replay came to, for people, scripts and pull requests."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from webhook.cli import differences, render
from webhook.cli.errors import printable
from webhook.report.replay_tally import FINDINGS, ReplayTally, Told

_MOST_CHARACTERS: Final = 65_536  # of a comment on a pull request
_DIGEST: Final = 12  # characters of a digest that people compare

_WORDS: Final = {
    "changed": "pods come out otherwise",
    "denied": "pods are denied, and were not",
    "errors": "pods on which a policy fails that did not",
    "conflicts": "pods with more conflicts",
    "laws": "pods on which a law is broken",
    "unfaithful": "recorded answers are not reproduced from the recorded facts",
}


def show(tally: ReplayTally, output: str, *, titles: tuple[str, str], digests: tuple[str, str | None]) -> None:
    """Write it to stdout as `table`, `json` or `markdown`. `digests` are those of the policies, and of those before."""
    groups = tally.groups
    if output == "json":
        document = differences.as_json(groups, looked_at=tally.pods, titles=titles)
        render.show(render.json_text({**_document(tally, digests), **document}))
        return
    facts = _facts(tally, digests)
    if output == "markdown":
        text = differences.markdown(groups, looked_at=tally.pods, titles=titles) + "\n"
        for name, said in facts:
            line = f"- {name}: {said}\n"
            if len(text) + len(line) <= _MOST_CHARACTERS:
                text += line
        render.show(text)
        return
    width = max(len(name) for name, _ in facts)
    render.show("".join(f"{name:<{width}}  {printable(said)}\n" for name, said in facts))
    render.show(f"\n{differences.summary(groups, tally.pods)}\n")
    differences.show(groups, "table", looked_at=tally.pods, titles=titles)
    if tally.told:
        render.show("\n")
        render.table(("PODS", "FINDING", "WHICH", "WHAT", "FIRST RECORD"), map(_row, tally.told))


def _row(told: Told) -> tuple[str, str, str, str, str]:
    which = f"{told.namespace}/{told.name}{' and others' if told.count > 1 else ''}"
    return f"{told.count:,}", told.kind, which, told.what, told.place


def _facts(tally: ReplayTally, digests: tuple[str, str | None]) -> list[tuple[str, str]]:
    baseline = digests[0] if digests[1] is None else digests[1]
    sets, how = tally.policies, tally.inventories
    nearest = f", {how['nearest']:,} nearest (at most {tally.apart:,.0f} s apart)" if how["nearest"] else ""
    none = f", {how['none']:,} not there (decided without placement)" if how["none"] else ""
    same = tally.comparable - tally.found["unfaithful"]
    reproduced = (
        f"{same:,} of the {tally.comparable:,} that were decided from the same policies and inventory"
        if tally.comparable
        else "none was decided from the same policies and inventory, so nothing says that records tell all"
    )
    when = f"{_moment(tally.first)} to {_moment(tally.last)}"
    again = f" ({tally.again:,} of them second looks at a pod)" if tally.again else ""
    own = f"{sets[baseline]:,} under {baseline[:_DIGEST]} itself"
    facts = [
        ("admissions", f"{tally.admissions:,}{again}, {when}, in {render.count(len(tally.files), 'file')}"),
        ("policies", f"recorded under {render.count(len(sets), 'set')}, {own}"),
        ("inventory", f"{how['exact']:,} the recorded one{nearest}{none}"),
        ("reproduced", reproduced),
        ("audit = enforce", f"proven for {tally.proven:,} of {tally.admissions:,}"),
    ]
    found = [f"{tally.found[kind]:,} {_WORDS[kind]}" for kind in FINDINGS if tally.found[kind]]
    return [*facts, ("findings", "; ".join(found) or "none")]


def _document(tally: ReplayTally, digests: tuple[str, str | None]) -> dict[str, Any]:
    return {
        "admissions": tally.admissions,
        "again": tally.again,
        "from": _rfc3339(tally.first),
        "to": _rfc3339(tally.last),
        "files": len(tally.files),
        "unreadable": tally.unreadable,
        "policies": {"digest": digests[0], "against": digests[1], "recorded": dict(sorted(tally.policies.items()))},
        "versions": dict(sorted(tally.versions.items())),
        "inventories": {
            **{how: tally.inventories[how] for how in ("exact", "nearest", "none")},
            "mostSecondsApart": round(tally.apart, 1),
        },
        "reproduced": {"comparable": tally.comparable, "same": tally.comparable - tally.found["unfaithful"]},
        "auditEqualsEnforce": {"proven": tally.proven, "of": tally.admissions},
        "found": {kind: tally.found[kind] for kind in FINDINGS},
        "findings": [
            {
                "kind": told.kind,
                "namespace": told.namespace,
                "what": told.what,
                "count": told.count,
                "first": {"record": told.place, "name": told.name},
            }
            for told in tally.told
        ],
    }


def _moment(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _rfc3339(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")
