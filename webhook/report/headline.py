"""The answer in one sentence: changed or not and why, where it runs, warm or cold, what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.admission.changes import Changes
from webhook.policy.model import Mode
from webhook.report.course import Course
from webhook.report.pod_evidence import Considered, Evidence, Signature
from webhook.report.whereabouts import Whereabouts


def headline(evidence: Evidence, signature: Signature | None, would: Changes, *, changed: bool) -> tuple[str, str]:
    """One word for programs, and the sentence. `would` is what the policies would change as they are now."""
    decision, now = evidence.decision, "now" if evidence.is_live else "by these policies"
    if changed:
        by = f" (policies {', '.join(signature.policies)})" if signature and signature.policies else ""
        return "changed", f"changed by Warmpod{by}; {_lived(evidence, signature)}"
    lived = f"; {_lived(evidence, None)}" if evidence.is_live else ""
    if evidence.unreached:
        return "unreached", f"not changed: Warmpod was not asked, because {evidence.unreached}{lived}"
    if not decision.allowed:
        return "denied", f"it would be denied {now}: {decision.message}"
    if decision.patch:
        if not evidence.is_live:
            return "nothing", f"Warmpod would change it: {would.text}"
        why = _unanswered(evidence, would)
        return "unanswered", f"not changed, though created {now} it would be ({would.text}): {why}{lived}"
    if decision.violations:
        return "skipped", f"not changed: the patch broke a law of ours and was dropped: {decision.violations[0]}{lived}"
    if decision.would_patch:
        who = [one.name for one in evidence.considered if one.result == "matched" and one.mode is Mode.AUDIT]
        audit = f"{_policies(who)} in Audit, which would change it ({would.text})"
        return "audited", f"not changed: {audit}{lived}"
    return "skipped", f"not changed: {_skipped(evidence.considered)}{lived}"


def _policies(found: Sequence[str]) -> str:
    return f"polic{'y' if len(found) == 1 else 'ies'} {', '.join(found)} {'is' if len(found) == 1 else 'are'}"


def _unanswered(evidence: Evidence, would: Changes) -> str:
    """What is likely where the pod should have been changed: the policies came later, or nobody answered in time."""
    created, changed = evidence.course.created, evidence.policies_changed
    if created is not None and changed is not None and changed > created:
        return "the policies were changed after it was created"
    if evidence.doubts:
        return evidence.doubts[0]
    told = "the API server had no answer in time and let it pass"
    return f"{told}, or other nodes were warm then" if would.parts == ("placement",) else told


def _skipped(considered: Sequence[Considered]) -> str:
    live = [one for one in considered if one.mode is not Mode.OFF]
    if not considered:
        return "there is no policy"
    if not live:
        return "every policy is Off here"
    matched = [one for one in live if one.result == "matched"]
    if matched:
        return f"policy {matched[0].name} had nothing to add: {matched[0].reason}"
    errored = [one for one in live if one.result == "errored"]
    first = (errored or live)[0]
    verb = "failed on it" if errored else "skipped it"
    more = f", and so did {len(live) - 1} more" if len(live) > 1 and not errored else ""
    return f"policy {first.name} {verb}: {first.reason}{more}"


def _lived(evidence: Evidence, signature: Signature | None) -> str:
    """What became of it, warm or cold."""
    course = evidence.course
    if not evidence.is_live:
        return "it was not run, as far as the manifest says"
    if not course.node:
        narrowed = _narrowed(evidence.whereabouts)
        return f"it is pending: {course.waiting or 'nobody has scheduled it yet'}{narrowed}"
    if course.phase == "Pending" and course.waiting and not _hydrates(course):
        return f"it is pending on {course.node}: {course.waiting}"
    return f"{_verb(course)} {course.node}, {_warmth(course, signature)}"


def _hydrates(course: Course) -> bool:
    return course.hydration is not None and course.hydration.result in ("running", "waiting")


def _verb(course: Course) -> str:
    if course.phase == "Pending":
        return "it starts on"
    return "it ran on" if course.phase in ("Succeeded", "Failed") else "it runs on"


def _warmth(course: Course, signature: Signature | None) -> str:
    """Whether the node was warm for what the pod brought, as far as somebody said so, and how that is known."""
    image, model = course.image_was_there, course.model_was_there
    told: list[str] = []
    if image is not None:
        pulled = sum(pull.seconds or 0.0 for pull in course.pulls)
        told.append("its images were there" if image else f"its images were pulled in {pulled:.0f} s")
    if course.hydration is not None:
        told.append(_hydrated(course))
    word = _WORDS.get((image, model), "")
    saved = f"; about {signature.seconds} s saved" if signature and signature.seconds and word == "warm" else ""
    if not word:
        return ", ".join(told) or "whether it was warm is not known: events are kept for an hour"
    return f"{word}: {', '.join(told)}{saved}"


_WORDS = {
    (True, True): "warm",
    (True, None): "warm",
    (None, True): "warm",
    (True, False): "warm for the image, cold for the model",
    (False, True): "cold for the image, warm for the model",
    (False, False): "cold",
    (False, None): "cold",
    (None, False): "cold for the model",
}
"""By what is known of images and model."""


def _hydrated(course: Course) -> str:
    hydration = course.hydration
    assert hydration is not None
    took = "" if hydration.seconds is None else f" in {hydration.seconds:.0f} s"
    match hydration.result:
        case "hit":
            return f"the model was in its cache (checked{took})"
        case "downloaded":
            size = f"{hydration.bytes / 2**30:.1f} GiB" if hydration.bytes else "the model"
            return f"hydrated {size}{took}"
        case "running":
            return f"is being hydrated {hydration.told}"
        case "waiting":
            return f"its hydrator waits{f' ({hydration.told})' if hydration.told else ''}"
        case "done":
            return f"its hydrator ended well{took} without a report"
        case _:
            why = f": {hydration.told}" if hydration.told else ""
            return f"its hydrator failed{took} with exit code {hydration.exit_code}{why}"


def _narrowed(found: Whereabouts | None) -> str:
    if found is None:
        return ""
    if found.allowed is not None and found.allowed < found.able:
        return f"; Warmpod requires warm nodes, which leaves {found.allowed} of {found.able} that could run it"
    if found.able == 0:
        return f"; none of {found.nodes} accelerator nodes could run it at all"
    return "" if found.roomy else f"; {found.able} nodes could run it, none of them has room now"
