"""What the API server was told: the registration, which pods it sends us, and other webhooks in the way of pods."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.doctor import hooks
from webhook.doctor.advice import APPLY
from webhook.doctor.counters import is_ours
from webhook.doctor.evidence import Absent, Evidence, Seen, within
from webhook.doctor.finding import Finding, State, failure, note, ok, unseen, warning
from webhook.doctor.hooks import Hook
from webhook.kube import Object, names
from webhook.kube.pod import objects

SLOW_SECONDS = 5
"""A hanging webhook costs every GPU pod its timeout; the manifests say 2."""

_NAME = f"MutatingWebhookConfiguration {names.WEBHOOK_CONFIGURATION}"
_RESTORE = f"{APPLY}; the component manage-webhook restores it within seconds, whoever deletes it"
_PROTECTED = ("kube-system", "kube-node-lease")
_SHOWN = 5


def registration(evidence: Evidence) -> Iterator[Finding]:
    """Whether it is there, whole, and where it leads."""
    match evidence.registration:
        case Seen(found) if not objects(found.get("webhooks")):
            yield failure("registration", f"the registration ({_NAME}) has no webhooks left", _RESTORE, stops=True)
        case Seen():
            yield from _registered(evidence)
        case Absent():
            yield failure("registration", f"the registration ({_NAME}) is missing", _RESTORE, stops=True)
        case look:
            yield unseen("registration", _NAME, look)


def _registered(evidence: Evidence) -> Iterator[Finding]:
    main, audit = hooks.named(evidence, hooks.PODS), hooks.named(evidence, hooks.AUDIT)
    if main is None:
        yield failure("registration", f"the registration has no webhook {hooks.PODS}", _RESTORE, stops=True)
    elif not hooks.mode(main):
        yield failure(
            "registration",
            f"webhook {hooks.PODS} leads to {hooks.path(main)}, which Warmpod does not serve",
            f"its path is /mutate to enforce, or /mutate/audit to compute only; {APPLY}",
            stops=True,
        )
    elif not hooks.selects_pods(main):
        yield failure(
            "registration", f"the rules of webhook {hooks.PODS} do not name the creation of pods", APPLY, stops=True
        )
    else:
        changed = "pods are changed" if hooks.mode(main) == "Enforce" else "no pod is changed"
        yield ok("registration", f"{_NAME} sends GPU pods to {hooks.path(main)}: {hooks.mode(main)}, {changed}")
    if audit is None or hooks.mode(audit) != "Audit":
        yield warning(
            "registration",
            f"webhook {hooks.AUDIT} is missing or leads elsewhere: namespaces labelled "
            f"{names.LABEL_NAMESPACE_MODE}=Audit are not reviewed as they should",
            APPLY,
        )
    if isinstance(url := within(main or {}, "clientConfig", "url"), str):
        yield note("registration", f"it leads to the URL {url}, not to a Service: a sandbox, or a webhook elsewhere")


def selection(evidence: Evidence) -> Iterator[Finding]:
    """Whether it selects what it should, and what becomes of pods when the webhook fails."""
    for hook in hooks.ours(evidence):
        yield from _selection(evidence, hook)


def _selection(evidence: Evidence, hook: Hook) -> Iterator[Finding]:
    name = hook.get("name")
    if hook.get("failurePolicy") != "Ignore":
        yield warning(
            "selection",
            f"webhook {name} has failurePolicy {hook.get('failurePolicy')}: GPU pods are rejected while it fails",
            "set failurePolicy: Ignore, unless you mean it",
        )
    seconds = hook.get("timeoutSeconds")
    if isinstance(seconds, int) and seconds > SLOW_SECONDS:
        yield warning(
            "selection",
            f"webhook {name} has timeoutSeconds {seconds}: so long waits each GPU pod when it hangs",
            "set timeoutSeconds: 2",
        )
    within_reach = [
        one
        for one in (*_PROTECTED, evidence.namespace)
        if hooks.mode(hook) and hooks.selects_namespace(hook, _named(one))
    ]
    if within_reach:
        yield warning(
            "selection",
            f"webhook {name} is called for pods of {', '.join(within_reach)}, which the cluster needs to mend itself",
            f"exclude them in its namespaceSelector, as manifests/base does; {APPLY}",
        )
    if hook.get("objectSelector"):
        yield note("selection", f"webhook {name} has an objectSelector: pods that it does not pick are not reviewed")
    found = {str(one.get("name")): str(one.get("expression")).split() for one in objects(hook.get("matchConditions"))}
    shipped = {key: text.split() for key, text in evidence.conditions.items()}
    if shipped and found != shipped:
        differ = sorted(key for key in {*found, *shipped} if found.get(key) != shipped.get(key))
        yield note(
            "selection",
            f"the matchConditions of webhook {name} are not those of version {evidence.our_version}: "
            f"{', '.join(differ)}",
            "if nobody meant that, apply your overlay again: a pod that they do not match is not reviewed",
        )


def _named(namespace: str) -> Object:
    return {"metadata": {"name": namespace}}


def probe_is_selected(evidence: Evidence) -> bool | None:
    """Whether the registration sends pods of the probe's namespace to us; None when nobody knows."""
    if not isinstance(evidence.probed, Seen) or not isinstance(evidence.registration, Seen):
        return None
    if not (found := hooks.ours(evidence)):
        return None
    return any(hooks.selects_namespace(one, evidence.probed.value) for one in found)


def others(evidence: Evidence) -> Iterator[Finding]:
    """Webhooks of others that reject pods when they fail: not ours to mend, but to know of."""
    found: list[str] = []
    hold_us_back: list[str] = []
    for look in (evidence.mutating, evidence.validating):
        if not isinstance(look, Seen):
            yield unseen("other-webhooks", "the webhooks of others", look)
            return
        for one in look.value:
            for hook in objects(one.get("webhooks")):
                if (
                    hook.get("failurePolicy") == "Fail"
                    and hooks.selects_pods(hook)
                    and not is_ours(str(hook.get("name")))
                ):
                    found.append(str(hook.get("name")))
                    if isinstance(evidence.system, Seen) and hooks.selects_namespace(hook, evidence.system.value):
                        hold_us_back.append(str(hook.get("name")))
    if not found:
        yield ok("other-webhooks", "no webhook of others rejects pods when it fails")
        return
    listed = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    held = f"; of Warmpod's own pods, too: {', '.join(hold_us_back[:_SHOWN])}" if hold_us_back else ""
    yield Finding("other-webhooks", State.NOTE, f"webhooks of others reject pods when they fail: {listed}{held}")
