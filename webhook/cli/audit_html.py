"""An audit as one page of HTML that needs nothing else: no script, no font, no picture from anywhere.

Whatever a tenant wrote is escaped; a Content-Security-Policy forbids everything but the one sheet of styles, by its
hash. The page is ASCII, so that no reader can take it for another encoding.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from webhook import __version__
from webhook.cli import audit_chart, audit_tables
from webhook.cli.audit_style import SHEET
from webhook.cli.audit_tables import safe
from webhook.cli.audit_view import TOP, About
from webhook.cli.audit_words import instant, span
from webhook.report.finding import KINDS, Finding
from webhook.report.tally import Tally

#: Rows of a table on the page; JSON has all.
MOST_ROWS: Final = 300


def page(tally: Tally, about: About) -> str:
    """The whole page, in ASCII, ending in a line break."""
    digest = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = _body(tally, about)
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
        f"<title>Warmpod audit: {safe(about.source)}</title>\n<style>{SHEET}</style>\n</head>\n"
        f'<body>\n<div class="page">\n{body}</div>\n</body>\n</html>\n'
    )
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _body(tally: Tally, about: About) -> str:
    parts = [_header(tally, about)]
    if not tally.total.pods:
        parts.append(_nothing(about))
    else:
        parts += [_cards(tally, about), _findings(tally), _distribution(tally)]
        if tally.policies:
            parts.append(audit_tables.policies(tally, about, MOST_ROWS))
        if tally.workloads:
            parts.append(audit_tables.workloads(tally, TOP))
        parts.append(audit_tables.namespaces(tally, MOST_ROWS))
    parts.append(_footer(tally, about))
    return f"{parts[0]}\n<main>\n" + "\n".join(parts[1:-1]) + f"\n</main>\n{parts[-1]}\n"


def _header(tally: Tally, about: About) -> str:
    told = [f"From {safe(about.title)}"]
    if tally.earliest is not None:
        told.append(f"admissions of {instant(tally.earliest)} to {instant(tally.latest)}")
    if about.since is not None:
        told.append(f"since {instant(about.since)}")
    if about.namespaces:
        told.append(f"namespaces {', '.join(map(safe, about.namespaces))}")
    passed = ""
    if about.passed:
        passed = f"<p>{about.passed:,} line{'s' if about.passed > 1 else ''} could not be read and are not counted.</p>"
    return f"<header>\n<h1>Warmpod audit</h1>\n<p>{' &middot; '.join(told)}</p>\n{passed}</header>"


def _nothing(about: About) -> str:
    todo = {
        "records": "Records are written by <code>warmpod webhook --record DIR</code>; pods without an accelerator are "
        "never sent to Warmpod.",
        "auditLog": "The API server&rsquo;s audit policy must log creations of pods, at level Metadata or above, and "
        "Warmpod must be registered; <code>warmpod doctor</code> checks that it is.",
        "cluster": "No workload of the cluster, or of the namespaces that were asked for, has pods.",
    }
    again = " A longer <code>--since</code> may show some." if about.since is not None else ""
    return f'<section>\n<h2>No pod to report on</h2>\n<p class="hint">{todo[about.kind]}{again}</p>\n</section>'


def _cards(tally: Tally, about: About) -> str:
    total = tally.total
    bad = sum(pods for kind, pods in tally.findings.pods.items() if kind != "conflicts")
    clashes = tally.findings.pods["conflicts"]
    of_all = [_share(number, total.pods) for number in (total.changed, total.would_change)]
    proviso = "created now, in Enforce" if about.is_live else "Audit were Enforce"
    cards = [
        ("", "Pods looked at", f"{total.pods:,}", f"in {_count(len(tally.namespaces), 'namespace')}"),
        ("would", "Would be changed", f"{total.would_change:,}", f"{of_all[1]}, if {proviso}"),
        (
            "would",
            "To gain",
            span(total.would_save),
            "of starting time" + ("" if about.is_live else ", by policies in Audit"),
        ),
        ("bad" if bad else "", "To look at", f"{bad:,}", f"errors and denials; {_count(clashes, 'conflict')} besides"),
    ]
    if not about.is_live:
        cards.insert(1, ("done", "Changed", f"{total.changed:,}", f"{of_all[0]}, saving {span(total.saved)}"))
    items = "".join(
        f'<div class="{kind}"><dt>{title}</dt><dd class="big">{value}</dd><dd class="note">{note}</dd></div>'
        for kind, title, value, note in cards
    )
    return f'<dl class="cards">{items}</dl>'


def _findings(tally: Tally) -> str:
    found = tally.findings.told()
    if not found:
        return (
            '<section>\n<h2>To look at</h2>\n<p class="none">Nothing: no policy errored, no pod was denied, no patch '
            "broke a law, and nothing was left out because something else had its place.</p>\n</section>"
        )
    rows = [
        f"<tr><td>{_kind(one)}</td><td>{safe(one.policy) or '&ndash;'}</td>"
        f'<td class="wide">{safe(one.text)}</td><td class="n">{one.pods:,}</td>'
        f'<td class="where wide">{safe(one.first)}</td></tr>'
        for one in found[:MOST_ROWS]
    ]
    untold = sum(tally.findings.untold.values())
    more = f" Of {untold:,} further pods only the number is known." if untold else ""
    told = ". ".join(f"{KINDS[kind]}: {_count(pods, 'pod')}" for kind, pods in tally.findings.pods.items() if pods)
    grid = audit_tables.grid(
        "Findings", ("Kind", "Policy", "What", "Pods", "First pod"), rows, numeric=(3,), left_out=len(found) - len(rows)
    )
    return f'<section>\n<h2>To look at</h2>\n<p class="hint">{told}.{more}</p>\n{grid}\n</section>'


def _kind(one: Finding) -> str:
    return f'<span class="tag {"warn" if one.kind == "conflicts" else "bad"}">{one.kind}</span>'


def _distribution(tally: Tally) -> str:
    spread = tally.total.spread
    title = "<h2>Time saved for each pod</h2>"
    if not spread.count:
        return (
            f"<section>\n{title}\n"
            '<p class="hint">No pod is changed, and none would be, so there is nothing to save.</p>\n</section>'
        )
    bars = spread.bars()
    told = f"{_count(spread.count, 'pod')} changed, or to be changed if Audit were Enforce. "
    if spread.count == 1:
        told += f"It saves <b>{span(spread.maximum)}</b>."
    else:
        told += (
            f"Half of them save at least <b>{span(spread.median)}</b> each, a tenth <b>{span(spread.p90)}</b> or more, "
            f"the most <b>{span(spread.maximum)}</b>."
        )
    rows = [f'<tr><td>{audit_chart.told(bar)}</td><td class="n">{bar.values:,}</td></tr>' for bar in bars if bar.values]
    data = audit_tables.grid("Pods by time saved", ("Time saved", "Pods"), rows, numeric=(1,))
    return (
        f'<section>\n{title}\n<p class="hint">{told}</p>\n<div class="plot">{audit_chart.histogram(bars)}</div>\n'
        f'<details class="long"><summary>The same as a table</summary>{data}</details>\n</section>'
    )


def _footer(tally: Tally, about: About) -> str:
    words = [
        (
            "Time saved",
            (
                "An estimate of how much earlier a pod starts that is placed on a node with its image and model: "
                "bytes that need not be fetched, by the rates of the installation. What hydration and client settings "
                "save comes on top and is not counted."
            ),
        ),
        ("Changed", "Pods that policies in Enforce changed when they were created."),
        (
            "Would be changed",
            (
                "Pods that would be changed, or changed further, if the policies now in Audit were in Enforce; "
                "<i>to gain</i> is what that would save beyond what is saved already."
            ),
        ),
        (
            "By policy",
            (
                "A pod counts with every policy that does something to it, and time that two policies save together "
                "with both, so that sums of policies may exceed those of pods."
            ),
        ),
    ]
    if tally.blind:
        words.append(
            (
                "Skipped pods",
                (
                    "The API server&rsquo;s audit log does not say which policies were not for a pod, nor why. Records "
                    "(<code>--records</code>) do."
                ),
            )
        )
    items = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in words)
    made = f"Made by warmpod {__version__}, {instant(about.made)}."
    return f"<footer>\n<h2>How to read this</h2>\n<dl>{items}</dl>\n<p>{made}</p>\n</footer>"


def _share(number: int, total: int) -> str:
    part = 100 * number / total if total else 0
    return f"{part:.0f} %" if part >= 1 or not number else "under 1 %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
