"""Where less is done than the registration says, and clocks."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.doctor.evidence import Evidence, Seen, within
from webhook.doctor.finding import Finding, note, ok, unseen, warning
from webhook.kube import names

MODES = ("Off", "Audit", "Enforce")
SKEW_SECONDS = 60.0
_SHOWN = 5


def namespaces(evidence: Evidence) -> Iterator[Finding]:
    """Namespaces whose owners lowered the mode."""
    if not isinstance(evidence.namespaces, Seen):
        yield unseen("namespaces", "the namespaces' labels", evidence.namespaces)
        return
    by_mode: dict[str, list[str]] = {}
    for one in evidence.namespaces.value:
        mode = str(within(one, "metadata", "labels", names.LABEL_NAMESPACE_MODE))
        by_mode.setdefault(mode, []).append(str(within(one, "metadata", "name")))
    for mode, found in sorted(by_mode.items()):
        listed = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
        if mode not in MODES:
            yield warning(
                "namespaces",
                f"the label {names.LABEL_NAMESPACE_MODE}={mode} of {listed} is none of {', '.join(MODES)}, and lowers "
                "nothing",
                f"`kubectl label namespace NAME --overwrite {names.LABEL_NAMESPACE_MODE}=Off`, or as you mean it",
            )
        elif mode != "Enforce":
            does = "is not reviewed" if mode == "Off" else "is reviewed and not changed"
            yield note("namespaces", f"{listed} {does} ({names.LABEL_NAMESPACE_MODE}={mode})")
    if not by_mode:
        yield ok("namespaces", f"no namespace lowers the mode by the label {names.LABEL_NAMESPACE_MODE}")


def clock(evidence: Evidence) -> Iterator[Finding]:
    """How far this machine's clock is from the API server's, by which everything above was judged."""
    skew = evidence.skew
    if skew is not None and abs(skew) > SKEW_SECONDS:
        yield note(
            "clock",
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the API server's; "
            "what is said here goes by the API server's",
        )
