"""What replicas say of themselves: versions, certificates, policies, snapshots, and who leads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from webhook.doctor import reached
from webhook.doctor.advice import logs, readyz
from webhook.doctor.deployment import ours, rolling
from webhook.doctor.evidence import Absent, Evidence, Seen, within
from webhook.doctor.finding import Finding, State, failure, note, ok, unseen, warning
from webhook.kube import names
from webhook.kube.image import Reference, parse
from webhook.kube.pod import mapping
from webhook.sources.replicas import Replica

STALE_SECONDS = 120.0
"""The webhook's default for --snapshot-max-age. A webhook that says whether it uses its snapshot is believed."""

_SHOWN = 3
_LOST_SECONDS = 60.0
"""A Lease of the election lasts 15 s; after a minute somebody else should have it."""


def live(evidence: Evidence) -> list[Replica]:
    """The replicas that were heard of of late."""
    if not isinstance(evidence.replicas, Seen):
        return []
    return [one for one in evidence.replicas.value if one.is_live(evidence.now)]


def replicas(evidence: Evidence) -> Iterator[Finding]:
    """Who is there and talks to us."""
    if not isinstance(evidence.replicas, Seen):
        yield unseen("replicas", "what replicas say of themselves (their Leases)", evidence.replicas)
        return
    found = live(evidence)
    running = {str(within(one, "metadata", "name")) for one in ours(evidence)}
    silent = [one.name for one in evidence.replicas.value if one not in found and one.name in running]
    log = logs(evidence.namespace, "controller")
    if silent:
        yield warning("replicas", f"{_listed(silent)} runs, and was not heard of of late", log)
    if not found:
        yield warning("replicas", "no replica has reported: no Lease warmpod-replica-... is fresh", log)
        return
    mute = [f"{one.name}: {one.problem or 'it does not say why'}" for one in found if one.webhook is None]
    if mute:
        yield warning("replicas", f"the webhook beside a controller does not answer: {_listed(mute)}", log)
    not_ready = [one.name for one in found if (one.webhook or {}).get("ready") is False]
    if not_ready:
        yield warning(
            "replicas",
            f"{_listed(not_ready)} is not ready",
            readyz(evidence.namespace, 8080),
        )
    if not silent and not mute and not not_ready:
        yield ok("replicas", f"{len(found)} reported of late")
    told = [f"{one.name}: {problem}" for one in found for problem in _problems(one)]
    if told:
        yield warning("controller", _listed(told), log)


def _problems(one: Replica) -> list[str]:
    problems = (one.controller or {}).get("problems")
    return [str(each) for each in problems][:_SHOWN] if isinstance(problems, list) else []


def versions(evidence: Evidence) -> Iterator[Finding]:
    """Whether all run one version, that of the Deployment's image."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for one in live(evidence):
        by_version[one.version or "unknown"].append(one.name)
    if reply := reached.reply(evidence):
        by_version.setdefault(reply.version or "unknown", [])
    if len(by_version) > 1:
        told = ", ".join(f"{version} ({_listed(who) or 'answered the probe'})" for version, who in by_version.items())
        if rolling(evidence):
            yield note("versions", f"replicas run different versions while the Deployment is rolled out: {told}")
        else:
            yield warning(
                "versions",
                f"replicas run different versions: {told}",
                f"`kubectl -n {evidence.namespace} rollout restart deployment/{names.DEPLOYMENT}`; a tag that was "
                "pushed again gives such a mixture, a digest does not",
            )
    elif by_version:
        version = next(iter(by_version))
        if evidence.our_version and version not in (evidence.our_version, "unknown"):
            yield note("versions", f"replicas run {version}, and this is the doctor of {evidence.our_version}")
        else:
            yield ok("versions", f"all run {version}")


def certificates(evidence: Evidence) -> Iterator[Finding]:
    """Whether replicas serve what is in the Secret."""
    if not isinstance(evidence.certificates, Seen) or not (wanted := evidence.certificates.value.serial):
        return
    others = [one.name for one in live(evidence) if one.webhook is not None and one.serial != wanted]
    if others and evidence.certificates.value.old_authority:
        yield note("rotation", f"{_listed(others)} does not serve the new certificate yet")
    elif others:
        yield warning(
            "serials",
            f"{_listed(others)} does not serve the certificate of Secret {names.TLS_SECRET}",
            "a replica follows it within seconds; look at the log of its controller, which writes the files",
        )
    elif live(evidence):
        yield ok("serials", "every replica serves the certificate of the Secret")


def policies(evidence: Evidence) -> Iterator[Finding]:
    """Whether policies are in force, the same everywhere, and as they are written."""
    told = {one.name: mapping((one.webhook or {}).get("policies")) for one in live(evidence) if one.webhook}
    broken = [f"{who}: {said['problem']}" for who, said in told.items() if said.get("problem")]
    bad = sum(count for said in told.values() if isinstance(count := said.get("problems"), int))
    counts = [count for said in told.values() if isinstance(count := said.get("count"), int)]
    digests = {str(said.get("digest")) for said in told.values()}
    if (reply := reached.reply(evidence)) and reply.policies is not None:
        counts.append(reply.policies)
    advice = f"`warmpod lint DIRECTORY` names each problem; so does {readyz(evidence.namespace, 8080)}"
    if counts and not any(counts):
        yield failure("policies", "no policy is in force, so no pod is changed", f"give it policies; {advice}")
    if broken:
        yield warning("policies", f"the policy files are not in force as they are: {_listed(broken)}", advice)
    elif bad:
        yield warning("policies", f"the policy files have {bad} problems", advice)
    if len(digests) > 1:
        yield warning(
            "policies",
            "replicas decide by different policies",
            "they agree within a minute of a change; if they stay apart, one cannot read its files: see its log",
        )
    elif counts and all(counts) and not broken and not bad:
        yield ok("policies", f"{max(counts)} policies are in force")
    elif not counts:
        yield _untold("policies", "the policies in force", evidence)


def snapshot(evidence: Evidence) -> Iterator[Finding]:
    """Whether placement has facts."""
    unusable: list[str] = []
    known = 0
    for one in live(evidence):
        said = mapping((one.webhook or {}).get("snapshot"))
        if "usable" in said:
            known += 1
            if said["usable"] is not True:
                unusable.append(f"{one.name}: {said.get('problem') or 'its snapshot is ' + _age(said.get('age'))}")
    reply = reached.reply(evidence)
    if not known and reply and reply.snapshot_age is not None:
        known += 1
        if reply.snapshot_age > STALE_SECONDS:
            unusable.append(f"the replica that answered: its snapshot is {_age(reply.snapshot_age)}")
    if unusable:
        yield warning(
            "snapshot",
            f"there is no placement, because the snapshot of the cluster is stale or missing ({_listed(unusable)})",
            f"the controller in the same pod writes it, and says what it waits for: {readyz(evidence.namespace, 8081)}",
        )
    elif known:
        yield ok("snapshot", "every replica that reported has a fresh snapshot")
    else:
        yield _untold("snapshot", "the age of the snapshot", evidence)


def leader(evidence: Evidence) -> Iterator[Finding]:
    """Whether somebody labels nodes and keeps certificates."""
    advice = logs(evidence.namespace, "controller")
    match evidence.lease:
        case Seen(found):
            holder = str(within(found, "spec", "holderIdentity") or "")
            silent = _seconds(within(found, "spec", "renewTime"), evidence.now)
            if not holder:
                yield warning("leader", "no controller leads: nodes are not labelled, certificates not kept", advice)
            elif silent > _LOST_SECONDS:
                yield warning("leader", f"the leading controller ({holder}) was last heard of {_age(silent)}", advice)
            else:
                yield ok("leader", f"{holder} leads")
        case Absent():
            yield warning("leader", "no controller has ever led: nodes are not labelled", advice)
        case look:
            yield unseen("leader", f"Lease {names.CONTROLLER_LEASE}", look)


def hydrator(evidence: Evidence) -> Iterator[Finding]:
    """Whether models are brought to nodes, by an image of the same version."""
    said = [one.webhook for one in live(evidence) if one.webhook and "hydratorImage" in one.webhook]
    images = sorted({str(one.get("hydratorImage") or "") for one in said})
    if not images:
        return
    if images == [""]:
        yield note(
            "hydrator",
            "no hydrator image is set, so no model is brought to nodes",
            "set --hydrator-image on the webhook",
        )
    elif len(images) > 1:
        yield warning(
            "hydrator",
            f"replicas put different hydrator images into pods: {', '.join(images)}",
            f"`kubectl -n {evidence.namespace} rollout restart deployment/{names.DEPLOYMENT}`",
        )
    elif (tag := _tag(images[0])) and (own := _tag(_image(evidence))) and tag != own:
        yield note("hydrator", f"pods get the hydrator {images[0]}, and Warmpod itself runs {own}")
    else:
        yield ok("hydrator", f"pods get the hydrator {images[0]}")


def _image(evidence: Evidence) -> str:
    found = evidence.deployment.value if isinstance(evidence.deployment, Seen) else {}
    containers = within(found, "spec", "template", "spec", "containers") or []
    return next((str(one.get("image")) for one in containers if mapping(one).get("name") == "webhook"), "")


def _tag(image: str) -> str:
    found = parse(image)
    return (found.tag or "") if isinstance(found, Reference) else ""


def _untold(name: str, what: str, evidence: Evidence) -> Finding:
    if isinstance(evidence.replicas, Seen):
        return Finding(name, State.UNKNOWN, f"{what}: no replica says so", "see what is said about replicas")
    return unseen(name, what, evidence.replicas)


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")


def _age(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "of unknown age"
    return f"{seconds:.0f} s old" if seconds < 300 else f"{seconds / 60:.0f} min old"


def _seconds(value: Any, now: datetime) -> float:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    return (now - found).total_seconds() if found and found.tzinfo else float("inf")
