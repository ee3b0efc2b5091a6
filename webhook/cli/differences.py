"""What two decisions make different, over many pods: as a table, for scripts, and for the page of a pull request."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import click

from webhook.cli import render
from webhook.cli.errors import printable
from webhook.cli.previews import decision_json
from webhook.report.difference import KINDS, Difference, Group

#: What a comment on a pull request may hold, in characters; some are kept for what is said last.
MOST_MARKDOWN: Final = 65_536 - 512
#: Groups whose pods are shown whole, below the table.
_MOST_DIFFS: Final = 20

WORDS: Final = {
    "denied": "denied now",
    "admitted": "no longer denied",
    "lost": "no longer changed",
    "changed": "changed in another way",
    "gained": "changed for the first time",
    "mode": "same change, other mode",
    "verdict": "same pod, other words",
}


def summary(groups: Sequence[Group], looked_at: int) -> str:
    """One line: how many pods there were and what became of them."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.first.kind] += group.count
    told = [f"{counts[kind]:,} {WORDS[kind]}" for kind in KINDS if counts[kind]]
    seconds = sum(group.seconds for group in groups)
    saved = f"; {abs(seconds):,.0f} s {'more' if seconds > 0 else 'less'} saved in all" if abs(seconds) >= 1 else ""
    pods = f"{looked_at:,} pod{'' if looked_at == 1 else 's'}"
    return f"{pods}: {', '.join(told) or 'no difference'}{saved}"


def show(groups: Sequence[Group], output: str, *, looked_at: int, titles: tuple[str, str]) -> None:
    """Write all of it to stdout as `table`, `json` or `markdown`. `titles` name the two sides."""
    if output == "json":
        render.show(render.json_text(as_json(groups, looked_at=looked_at, titles=titles)))
    elif output == "markdown":
        render.show(markdown(groups, looked_at=looked_at, titles=titles))
    elif groups:
        render.table(("PODS", "WHICH", "WHAT", "HOW"), [_row(group) for group in groups])


def _row(group: Group) -> tuple[str, str, str, str]:
    return f"{group.count:,}", _which(group), WORDS[group.first.kind], "\n".join(group.first.lines)


def _which(group: Group) -> str:
    pod = group.first.pod
    kind = f"{pod.kind} " if pod.kind and pod.kind != "Pod" else ""
    named = f"{kind}{pod.namespace}/{pod.name or '(unnamed)'}"
    if group.count == 1:
        return named
    spread = f" in {len(group.namespaces)} namespaces" if len(group.namespaces) > 1 else ""
    return f"{named} and others{spread}"


def as_json(groups: Sequence[Group], *, looked_at: int, titles: tuple[str, str]) -> dict[str, Any]:
    """For scripts: each group with its first pod whole."""
    return {
        "before": titles[0],
        "after": titles[1],
        "pods": looked_at,
        "different": sum(group.count for group in groups),
        "secondsSaved": round(sum(group.seconds for group in groups), 1),
        "groups": [
            {
                "kind": group.first.kind,
                "count": group.count,
                "namespaces": dict(sorted(group.namespaces.items())),
                "what": list(group.first.lines),
                "secondsSaved": round(group.seconds, 1),
                "first": {
                    "source": group.first.pod.source,
                    "kind": group.first.pod.kind,
                    "namespace": group.first.pod.namespace,
                    "name": group.first.pod.name,
                    "before": decision_json(group.first.before),
                    "after": decision_json(group.first.after),
                },
            }
            for group in groups
        ],
    }


def markdown(groups: Sequence[Group], *, looked_at: int, titles: tuple[str, str]) -> str:
    """For a pull request: the summary, a table, and the pods behind folds, as far as a comment has room."""
    text = f"### Warmpod: {_cell(titles[0])} → {_cell(titles[1])}\n\n{summary(groups, looked_at)}\n"
    if not groups:
        return text
    text += "\n| pods | which | what | how |\n|---:|---|---|---|\n"
    for left, group in zip(range(len(groups), 0, -1), groups, strict=True):
        row = f"| {group.count:,} | {_cell(_which(group))} | {WORDS[group.first.kind]} | {_lines(group.first)} |\n"
        if len(text) + len(row) > MOST_MARKDOWN:
            return f"{text}\n{render.count(left, 'more row')} left out: a comment has no room for them.\n"
        text += row
    shown = 0
    for group in groups[:_MOST_DIFFS]:
        fold = _fold(group)
        if len(text) + len(fold) > MOST_MARKDOWN:
            break
        text += fold
        shown += 1
    if shown < len(groups):
        text += f"\nThe pods of {render.count(len(groups) - shown, 'group')} are not shown here.\n"
    return text


def _lines(difference: Difference) -> str:
    return "<br>".join(map(_cell, difference.lines))


def _fold(group: Group) -> str:
    first = group.first
    diff = click.unstyle(render.diff_text(_after(first.before, first), _after(first.after, first), ("before", "after")))
    if not diff:
        return ""
    fence = "`" * max(3, _longest_fence(diff) + 1)
    return f"\n<details><summary>{_cell(_which(group))}</summary>\n\n{fence}diff\n{diff}{fence}\n\n</details>\n"


def _after(decision: Any, first: Difference) -> Any:
    """The pod as it would be with Audit counted as if enforced."""
    return decision.would_pod or decision.pod or first.sent


def _longest_fence(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


_MARKUP: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]|~#!$"})
#: A mention wakes people up; a space of no width keeps it from being one.
_MENTION: Final = re.compile(r"(?<!\w)@")


def _cell(text: str) -> str:
    """Text of a stranger as one cell: nothing in it is markup, a mention, or a line break."""
    flat = " ".join(printable(text).split())
    return _MENTION.sub("@\u200b", html.escape(flat, quote=False).translate(_MARKUP))
