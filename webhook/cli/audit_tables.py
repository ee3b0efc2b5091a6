"""The tables of the audit's page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from webhook.cli.audit_chart import meter
from webhook.cli.audit_view import About
from webhook.cli.audit_words import in_order, short, what
from webhook.cli.errors import printable
from webhook.report.tally import PolicySum, Sum, Tally, Workload

_SUMS = ("Changed", "Would be changed", "Saved", "To gain", "Median", "p90", "Max")


def safe(text: str) -> str:
    """Anybody's text as text of a page: escaped, on one line, without characters that cannot be seen."""
    return html.escape(printable(" ".join(text.split())), quote=True)


def grid(
    caption: str, headers: Sequence[str], rows: Sequence[str], *, numeric: Sequence[int] = (), left_out: int = 0
) -> str:
    """A table that scrolls where it is too wide; `rows` are HTML. `left_out` rows are told of below it."""
    cells = "".join(
        f'<th scope="col"{" class=n" if place in numeric else ""}>{title}</th>' for place, title in enumerate(headers)
    )
    more = f'<p class="hint">and {left_out:,} more, which <code>--output json</code> has.</p>' if left_out > 0 else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>'
        f'<caption class="hidden">{caption}</caption><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{more}"
    )


def policies(tally: Tally, about: About, most: int) -> str:
    """One row for each policy, with a second one for its namespaces and for what it was not for."""
    found = sorted(tally.policies.items(), key=lambda item: (-_gain(item[1].total), -item[1].total.matched, item[0]))
    headers = ("Policy", "Was for", *_SUMS, "What")
    rows = []
    for name, policy in found[:most]:
        total = policy.total
        tags = "".join(f'<span class="tag {mode.lower()}">{mode}</span>' for mode in about.modes_of(name, policy))
        extra = _details(policy, tally.blind)
        rows.append(
            f'<tr{" class=first" if extra else ""}><th scope="row">{safe(name)}<br>{tags}</th>'
            f'<td class="n">{_number(total.matched)}</td>{_sums(total)}<td class="wide">{_parts(total)}</td></tr>'
        )
        if extra:
            rows.append(f'<tr class="more"><td colspan="{len(headers)}">{extra}</td></tr>')
    table = grid("Policies", headers, rows, numeric=range(1, 9), left_out=len(found) - most)
    return f"<section>\n<h2>Policies</h2>\n{_key()}\n{table}\n</section>"


def namespaces(tally: Tally, most: int) -> str:
    """One row for each namespace, those with most pods first."""
    found = sorted(tally.namespaces.items(), key=lambda item: (-_gain(item[1]), -item[1].pods, item[0]))
    rows = [_of_namespace(name, one, one.pods) for name, one in found[:most]]
    headers = ("Namespace", "Pods", *_SUMS, "What")
    table = grid("Namespaces", headers, rows, numeric=range(1, 9), left_out=len(found) - most)
    return f"<section>\n<h2>Namespaces</h2>\n{table}\n</section>"


def workloads(tally: Tally, most: int) -> str:
    """The workloads that gain most."""
    found = tally.top(most)
    highest = max(one.gain for one in found)
    rows = [_of_workload(one, highest) for one in found]
    shown = f"The {len(found)} that gain most, of {tally.workloads:,}." if tally.workloads > len(found) else ""
    headers = ("Workload", "Pods", "Saved", "To gain", "What is changed, or would be", "By")
    table = grid("Top workloads", headers, rows, numeric=(1, 2, 3))
    return f'<section>\n<h2>Top workloads</h2>\n<p class="hint">{shown} {_legend()}</p>\n{table}\n</section>'


def _details(policy: PolicySum, blind: bool) -> str:
    parts = []
    if len(policy.namespaces) > 1:
        rows = [
            _of_namespace(name, one, one.matched)
            for name, one in sorted(policy.namespaces.items(), key=lambda item: (-item[1].matched, item[0]))[:100]
        ]
        left_out = len(policy.namespaces) - len(rows)
        table = grid(
            "By namespace", ("Namespace", "Pods", *_SUMS, "What"), rows, numeric=range(1, 9), left_out=left_out
        )
        told = f"in {len(policy.namespaces):,} namespaces"
        parts.append(f'<details class="long"><summary>{told}</summary>{table}</details>')
    total = policy.total
    if total.errored:
        parts.append(f'<span class="tag bad">{total.errored:,} errored</span>')
    if total.clashed:
        parts.append(f'<span class="tag warn">{total.clashed:,} with conflicts</span>')
    if total.skipped and not blind:
        items = "".join(f"<li>{pods:,}: {safe(reason)}</li>" for reason, pods in total.skips.most_common())
        noun = "pod" if total.skipped == 1 else "pods"
        parts.append(f"<details><summary>not for {total.skipped:,} {noun}</summary><ul>{items}</ul></details>")
    return "".join(parts)


def _of_namespace(name: str, one: Sum, pods: int) -> str:
    return (
        f'<tr><th scope="row">{safe(name) or "(none)"}</th><td class="n">{_number(pods)}</td>{_sums(one)}'
        f'<td class="wide">{_parts(one)}</td></tr>'
    )


def _of_workload(one: Workload, highest: float) -> str:
    return (
        f'<tr><th scope="row">{safe(one.owner.name)}<br><span class="soft where">{safe(one.owner.kind)} in '
        f"{safe(one.namespace)}</span>{meter(one.saved, one.would_save, highest)}</th>"
        f'<td class="n">{_number(one.pods)}</td><td class="n">{_span(one.saved)}</td>'
        f'<td class="n">{_span(one.would_save)}</td><td class="wide">{safe(what(one))}</td>'
        f'<td class="wide">{"".join(_tag(name) for name in one.policies) or "&ndash;"}</td></tr>'
    )


def _sums(one: Sum) -> str:
    spread = one.spread
    quantiles = (
        [short(each) for each in (spread.median, spread.p90, spread.maximum)] if spread.count else ["&ndash;"] * 3
    )
    cells = [_number(one.changed), _number(one.would_change), _span(one.saved), _span(one.would_save), *quantiles]
    return "".join(f'<td class="n">{cell}</td>' for cell in cells)


def _parts(one: Sum) -> str:
    both = one.either
    tags = "".join(f'<span class="tag">{safe(part)} {both[part]:,}</span>' for part in in_order(both))
    return tags or "&ndash;"


def _tag(name: str) -> str:
    return f'<span class="tag">{safe(name)}</span>'


def _number(value: int) -> str:
    return f"{value:,}" if value else '<span class="z">0</span>'


def _span(seconds: float) -> str:
    return short(seconds) if round(seconds) else '<span class="z">0</span>'


def _gain(one: Sum) -> float:
    return one.saved + one.would_save


def _key() -> str:
    return (
        '<p class="hint">Seconds are of placement alone. <i>Saved</i> and <i>to gain</i> are sums over pods; median, '
        "p90 and max are of one pod.</p>"
    )


def _legend() -> str:
    return '<span class="key d"></span>saved<span class="key w"></span>to gain'
