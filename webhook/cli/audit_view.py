"""An audit as a table for people and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from webhook.cli import render
from webhook.cli.audit_words import counted, in_order, instant, span, what
from webhook.report.finding import Finding
from webhook.report.spread import Spread
from webhook.report.tally import PolicySum, Sum, Tally, Workload

#: Workloads in a table, on a page and in JSON.
TOP: Final = 20
TOP_JSON: Final = 500

_SUM_HEADERS: Final = ("CHANGED", "WOULD CHANGE", "SAVED", "TO GAIN", "MEDIAN", "P90", "MAX", "ERRORS", "CONFLICTS")


@dataclass(frozen=True, slots=True)
class About:
    """What an audit is of: `kind` is records, auditLog or cluster; `source` names it; times are in seconds (epoch)."""

    kind: str
    source: str
    made: float
    since: float | None = None
    namespaces: tuple[str, ...] = ()
    passed: int = 0
    """Lines that could not be read."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """Of the live cluster: the modes that policies say, while all are looked at as if in Audit."""

    @property
    def title(self) -> str:
        """Where it comes from, in words."""
        told = {"records": "recorded admissions in", "auditLog": "the API server's audit log", "cluster": "the cluster"}
        return f"{told[self.kind]} {self.source}"

    @property
    def is_live(self) -> bool:
        """Whether nothing was done yet: all there is are changes that would be."""
        return self.kind == "cluster"

    def modes_of(self, name: str, policy: PolicySum) -> tuple[str, ...]:
        """The modes of a policy, the most frequent first."""
        said = self.modes.get(name)
        return (said,) if said else tuple(str(mode) for mode, _ in policy.modes.most_common())


def show_tables(tally: Tally, about: About) -> None:
    """Write the summary and the tables to stdout."""
    render.show(_summary(tally, about))
    if tally.policies:
        rows = [
            [
                name,
                ", ".join(about.modes_of(name, policy)),
                f"{policy.total.matched:,}",
                *_cells(policy.total),
                _parts(policy.total),
            ]
            for name, policy in sorted(tally.policies.items())
        ]
        _titled("Policies", ("POLICY", "MODE", "MATCHED", *_SUM_HEADERS, "WHAT"), rows)
        pairs = [
            [name, namespace, f"{one.matched:,}", *_cells(one), _parts(one)]
            for name, policy in sorted(tally.policies.items())
            for namespace, one in sorted(policy.namespaces.items())
        ]
        if pairs:
            _titled("Policies by namespace", ("POLICY", "NAMESPACE", "MATCHED", *_SUM_HEADERS, "WHAT"), pairs)
        skips = [
            [name, f"{pods:,}", reason]
            for name, policy in sorted(tally.policies.items())
            for reason, pods in policy.total.skips.most_common()
        ]
        if skips:
            _titled("Skipped", ("POLICY", "PODS", "BECAUSE"), skips)
    if tally.namespaces:
        rows = [
            [name, f"{one.pods:,}", *_cells(one), _parts(one)]
            for name, one in sorted(tally.namespaces.items(), key=lambda item: (-item[1].pods, item[0]))
        ]
        _titled("Namespaces", ("NAMESPACE", "PODS", *_SUM_HEADERS, "WHAT"), rows)
    top = tally.top(TOP)
    if top:
        rows = [
            [
                f"{one.namespace}/{one.owner.kind}/{one.owner.name}",
                f"{one.pods:,}",
                span(one.saved),
                span(one.would_save),
                what(one),
            ]
            for one in top
        ]
        title = f"Top {len(top)} of {render.count(tally.workloads, 'workload')}"
        _titled(title, ("WORKLOAD", "PODS", "SAVED", "TO GAIN", "WHAT"), rows)
    findings = tally.findings.told()
    if findings:
        rows = [[one.kind, one.policy or "-", f"{one.pods:,}", one.first, one.text] for one in findings]
        _titled("Findings", ("KIND", "POLICY", "PODS", "FIRST", "WHAT"), rows)


def document(tally: Tally, about: About) -> dict[str, Any]:
    """What `--output json` prints. Seconds are to 0.1 s; times in RFC 3339."""
    return {
        "source": {
            "kind": about.kind,
            "name": about.source,
            "since": _rfc3339(about.since),
            "namespaces": list(about.namespaces),
            "unreadable": about.passed,
        },
        "time": _rfc3339(about.made),
        "earliest": _rfc3339(tally.earliest),
        "latest": _rfc3339(tally.latest),
        "skipsKnown": not tally.blind,
        "total": {
            **_sum_json(tally.total),
            "histogram": [{"from": bar.low, "to": bar.high, "pods": bar.values} for bar in tally.total.spread.bars()],
        },
        "policies": [
            {**_policy_json(name, policy), **({"mode": about.modes[name]} if name in about.modes else {})}
            for name, policy in sorted(tally.policies.items())
        ],
        "namespaces": [{"name": name, **_sum_json(one)} for name, one in sorted(tally.namespaces.items())],
        "workloads": [_workload_json(one) for one in tally.top(TOP_JSON)],
        "findings": [_finding_json(one) for one in tally.findings.told()],
    }


def _summary(tally: Tally, about: About) -> str:
    total = tally.total
    lines = [f"{render.count(total.pods, 'pod')} in {about.title}"]
    if tally.earliest is not None:
        lines[0] += f", {instant(tally.earliest)} to {instant(tally.latest)}"
    gain = f"to gain about {span(total.would_save)}"
    lines.append(
        f"{total.would_change:,} would be changed if they were created now and all policies were in Enforce, {gain}"
        if about.is_live
        else f"{total.changed:,} changed, saving about {span(total.saved)}; {total.would_change:,} would be changed by "
        f"policies in Audit, {gain}"
    )
    found = [f"{render.count(pods, 'pod')} with {kind}" for kind, pods in tally.findings.pods.items() if pods]
    lines.append(f"to look at: {', '.join(found)}" if found else "nothing to look at: no errors, conflicts or denials")
    return "".join(f"{line}\n" for line in lines)


def _titled(title: str, headers: tuple[str, ...], rows: list[list[str]]) -> None:
    render.show(f"\n{title}\n")
    render.table(headers, rows)


def _cells(one: Sum) -> list[str]:
    spread = one.spread
    quantiles = (spread.median, spread.p90, spread.maximum) if spread.count else ()
    return [
        f"{one.changed:,}",
        f"{one.would_change:,}",
        span(one.saved),
        span(one.would_save),
        *([span(each) for each in quantiles] or ["-"] * 3),
        f"{one.errored:,}",
        f"{one.clashed:,}",
    ]


def _parts(one: Sum) -> str:
    return counted(one.either)


def _rfc3339(time: float | None) -> str | None:
    from datetime import UTC, datetime

    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _sum_json(one: Sum) -> dict[str, Any]:
    return {
        "pods": one.pods,
        "matched": one.matched,
        "changed": one.changed,
        "wouldChange": one.would_change,
        "errored": one.errored,
        "denied": one.denied,
        "conflicts": one.clashed,
        "secondsSaved": round(one.saved, 1),
        "secondsToGain": round(one.would_save, 1),
        "changes": {part: one.parts[part] for part in in_order(one.parts)},
        "wouldChanges": {part: one.would_parts[part] for part in in_order(one.would_parts)},
        "seconds": _spread_json(one.spread),
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    return {"pods": spread.count, "median": spread.median, "p90": spread.p90, "max": spread.maximum}


def _policy_json(name: str, policy: PolicySum) -> dict[str, Any]:
    return {
        "name": name,
        "modes": {str(mode): pods for mode, pods in policy.modes.items()},
        **_sum_json(policy.total),
        "skipped": policy.total.skipped,
        "skips": dict(policy.total.skips.most_common()),
        "namespaces": [{"name": each, **_sum_json(one)} for each, one in sorted(policy.namespaces.items())],
    }


def _workload_json(one: Workload) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "kind": one.owner.kind,
        "name": one.owner.name,
        "pods": one.pods,
        "changed": one.changed,
        "wouldChange": one.would_change,
        "secondsSaved": round(one.saved, 1),
        "secondsToGain": round(one.would_save, 1),
        "changes": list(one.parts),
        "text": one.text,
        "policies": list(one.policies),
    }


def _finding_json(one: Finding) -> dict[str, Any]:
    return {"kind": one.kind, "policy": one.policy, "text": one.text, "pods": one.pods, "first": one.first}
