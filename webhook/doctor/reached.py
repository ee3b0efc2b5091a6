"""Whether reviews arrive: the probe, the network, and what the API server counted."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.doctor import hooks
from webhook.doctor.advice import OPEN_PORT
from webhook.doctor.evidence import Barred, Evidence, Reply, Seen
from webhook.doctor.finding import Finding, State, failure, note, ok, unseen
from webhook.doctor.registration import probe_is_selected
from webhook.doctor.trust import verifies


def reply(evidence: Evidence) -> Reply | None:
    """What the replica that answered the probe said of itself; None when none did."""
    return evidence.probe.value.reply if isinstance(evidence.probe, Seen) else None


def rejects(evidence: Evidence) -> bool:
    """Whether the API server refused the probe because it could not call us."""
    found = evidence.probe
    return isinstance(found, Seen) and _is_about_us(found.value.message)


def probe(evidence: Evidence) -> Iterator[Finding]:
    """What became of a GPU pod that was sent as a dry run."""
    if not isinstance(evidence.probe, Seen):
        yield unseen("probe", "a dry run of a GPU pod", evidence.probe)
        return
    found = evidence.probe.value
    where = f"the API server's dry run of a GPU pod in namespace {evidence.probe_namespace}"
    if said := found.reply:
        told = f"{where} was answered by a replica of version {said.version or 'unknown'}"
        yield ok("probe", f"{told}, in {said.mode}, by {said.policies} policies")
        if found.message:
            yield note("probe", f"that pod would have been refused after us: {found.message}")
    elif _is_about_us(found.message):
        yield failure("probe", f"the API server cannot call the webhook: {found.message}", "see below", stops=True)
    elif probe_is_selected(evidence) is False:
        yield Finding(
            "probe",
            State.UNKNOWN,
            f"the registration does not select namespace {evidence.probe_namespace}, so {where} proves nothing",
            "name a namespace of GPU pods with --probe-namespace",
        )
    elif found.message:
        yield Finding(
            "probe",
            State.UNKNOWN,
            f"{where} was refused, perhaps before we were asked: {found.message}",
            "name another namespace with --probe-namespace",
        )
    else:
        yield _silence(evidence, where)


def _is_about_us(message: str) -> bool:
    return any(f'failed calling webhook "{one}"' in message for one in (hooks.PODS, hooks.AUDIT))


def _silence(evidence: Evidence, where: str) -> Finding:
    rose = _rose(evidence)
    tried = "; the API server tried, and counted one more fail-open" if rose else ""
    return failure(
        "probe",
        f"no replica answered {where}{tried}",
        "look at the other findings; if there are none, at the kube-apiserver's log for `failed calling webhook`",
    )


def _rose(evidence: Evidence) -> bool:
    before, after = evidence.before, evidence.after
    return isinstance(before, Seen) and isinstance(after, Seen) and after.value.fail_open > before.value.fail_open


def network(evidence: Evidence, suspects: list[Finding]) -> Iterator[Finding]:
    """What is left when no replica answered. `suspects` are the findings so far that would explain it."""
    if reply(evidence) or not isinstance(evidence.probe, Seen) or probe_is_selected(evidence) is False:
        return
    passage = evidence.passage
    if isinstance(passage, Seen) and passage.value.reached is False:
        yield failure(
            "network",
            f"the API server cannot reach port 8443 of the replicas ({passage.value.text})",
            OPEN_PORT,
            stops=True,
        )
    elif isinstance(passage, Seen) and passage.value.reached:
        yield ok("network", "the API server reaches a replica through the Service")
        if not suspects and not _rose(evidence):
            yield failure(
                "network",
                "the matchConditions of the registration do not pick the probe's pod, or the webhook refuses the API "
                "server's identity",
                "compare the matchConditions with manifests/base; with --client-ca or --bearer-token-file look at "
                "`warmpod_refused_requests_total` and the API server's --admission-control-config-file",
                stops=True,
            )
    elif not suspects and hooks.uses_service(evidence) and verifies(evidence):
        barred = f"; nobody tried it, for you may not {passage.right}" if isinstance(passage, Barred) else ""
        barred = f" ({passage.value.text})" if isinstance(passage, Seen) else barred
        yield failure(
            "network",
            "endpoints are ready and the certificate verifies, so most likely the network between the API server and "
            f"port 8443 of the replicas is closed{barred}",
            OPEN_PORT,
            stops=True,
        )
    elif not suspects and not hooks.uses_service(evidence):
        yield failure(
            "network",
            "nothing answers the API server at the URL of the registration",
            "is the webhook running there, and may the API server reach it?",
            stops=True,
        )


def counters(evidence: Evidence) -> Iterator[Finding]:
    """What the API server counted of our webhooks."""
    if not isinstance(evidence.before, Seen):
        yield unseen("fail-open", "the API server's own counters", evidence.before)
        return
    found = evidence.before.value
    if found.rejections:
        yield note(
            "fail-open",
            f"since it started, the API server we asked rejected {found.rejections} pods because a webhook of ours "
            "said so or failed",
            "it should be none: set failurePolicy: Ignore in the registration, and look for policies with "
            "failurePolicy: Fail; docs/operations.md#warmpodrejectspods",
        )
    if found.fail_open:
        yield note(
            "fail-open",
            f"since it started, the API server we asked let {found.fail_open} GPU pods start without an answer of "
            f"ours, of {found.calls} calls",
            "alert on apiserver_admission_webhook_fail_open_count; docs/operations.md#warmpodfailopen",
        )
    elif not found.rejections:
        yield ok("fail-open", f"the API server we asked counted no call in vain, of {found.calls}")
