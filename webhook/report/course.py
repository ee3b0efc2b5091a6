"""What became of a pod: when it was scheduled, whether its node held image and model, how long it hydrated, what waits.

Facts of the kubelet: pkg/kubelet/images/image_manager.go says of each image that it was there or how long the pull took
(events are kept for an hour); the init container's times and last words are in the pod's status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from webhook.inventory import report
from webhook.kube import Object, names
from webhook.kube import pod as pods

_PULLED = re.compile(r'Successfully pulled image "([^"]{1,512})" in (\S{1,32})')
_PRESENT = re.compile(r'Container image "([^"]{1,512})" already present')
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_LONGEST = 500
_TELLING = frozenset({"FailedScheduling", "Failed", "BackOff", "FailedMount", "FailedCreatePodSandBox", "Preempted"})


@dataclass(frozen=True, slots=True)
class Pull:
    """An image that a container waited for. `seconds` None: the node had it."""

    image: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Hydration:
    """What the init container of ours did. `seconds` is None until it ended; `result` is what it said.

    `result`: "hit", "downloaded" or "error" of its report; "waiting", "running", "failed" or "done" where it has none.
    """

    result: str
    seconds: float | None = None
    exit_code: int | None = None
    bytes: int = 0
    restarts: int = 0
    told: str = ""
    """Why it waits, or what it wrote last, where that is no report."""


@dataclass(frozen=True, slots=True)
class Course:
    """Times are unix seconds, None where they are not known. `waiting` says what holds the pod up, on one line."""

    phase: str = ""
    node: str = ""
    created: float | None = None
    scheduled: float | None = None
    ready: float | None = None
    waiting: str = ""
    hydration: Hydration | None = None
    pulls: tuple[Pull, ...] = ()
    said: tuple[str, ...] = ()
    """Warnings that events have of the pod, the last of each reason."""

    @property
    def image_was_there(self) -> bool | None:
        """Whether the node held every image that events tell of; None where they tell of none."""
        return all(pull.seconds is None for pull in self.pulls) if self.pulls else None

    @property
    def model_was_there(self) -> bool | None:
        """Whether the node's cache held all models; None where nobody said."""
        found = self.hydration
        return None if found is None or found.result not in ("hit", "downloaded") else found.result == "hit"


def course(pod: Object, events: Iterable[Object] = ()) -> Course:
    """The course of a live pod's life; `events` are those about it, in any order. Bears any JSON objects."""
    status, metadata = pods.mapping(pod.get("status")), pods.metadata(pod)
    events = sorted(events, key=lambda one: _event_time(one) or 0.0)
    conditions = {str(one.get("type")): one for one in pods.objects(status.get("conditions"))}
    ours = {str(container.get("image")) for container in _hydrators(pod)}
    return Course(
        phase=str(status.get("phase") or ""),
        node=str(pods.spec(pod).get("nodeName") or ""),
        created=_time(metadata.get("creationTimestamp")),
        scheduled=_since(conditions.get("PodScheduled")),
        ready=_since(conditions.get("Ready")),
        waiting=_waiting(status, conditions),
        hydration=_hydration(pod, status),
        pulls=tuple(pull for pull in _pulls(events) if pull.image not in ours),
        said=tuple(_said(events)),
    )


def _hydrators(pod: Object) -> Iterator[Object]:
    return (one for one in pods.init_containers(pod) if one.get("name") == names.INIT_CONTAINER)


def _hydration(pod: Object, status: Object) -> Hydration | None:
    if not any(True for _ in _hydrators(pod)):
        return None
    statuses = pods.objects(status.get("initContainerStatuses"))
    ours = next((one for one in statuses if one.get("name") == names.INIT_CONTAINER), {})
    state = pods.mapping(ours.get("state"))
    count = ours.get("restartCount")
    restarts = count if isinstance(count, int) else 0
    if ended := pods.mapping(state.get("terminated")):
        return _ended(ended, restarts)
    if running := pods.mapping(state.get("running")):
        last = pods.mapping(pods.mapping(ours.get("lastState")).get("terminated"))
        return Hydration("running", restarts=restarts, told=f"since {running.get('startedAt')}{_words(last)}")
    waiting = pods.mapping(state.get("waiting"))
    last = pods.mapping(pods.mapping(ours.get("lastState")).get("terminated"))
    why = _line(f"{waiting.get('reason') or ''} {waiting.get('message') or ''}")
    return Hydration("waiting", restarts=restarts, told=f"{why}{_words(last)}")


def _ended(ended: Object, restarts: int) -> Hydration:
    start, end = _time(ended.get("startedAt")), _time(ended.get("finishedAt"))
    seconds = end - start if start is not None and end is not None else None
    code = ended.get("exitCode")
    exit_code = code if isinstance(code, int) else None
    message = ended.get("message")
    found = report.read(message) if isinstance(message, str) and message else None
    if isinstance(found, report.Report):
        size = sum(model.bytes for model in found.models if model.checked)
        return Hydration(found.result, seconds, exit_code, size, restarts)
    result = "done" if exit_code == 0 else "failed"
    return Hydration(result, seconds, exit_code, restarts=restarts, told=_line(message))


def _words(ended: Object) -> str:
    if not ended:
        return ""
    found = _ended(ended, 0)
    words = f": {found.told}" if found.told else ""
    return f"; its last run ended with exit code {found.exit_code}{words}"


def _waiting(status: Object, conditions: dict[str, Object]) -> str:
    """The first thing that holds the pod up, in the order of a pod's start."""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        # What the scheduler says after its first sentence is about preemption: the event has all of it.
        message = str(scheduled.get("message") or "").partition(". ")[0]
        return _line(f"not scheduled: {message or scheduled.get('reason') or 'no reason is given'}")
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in pods.objects(status.get(field)):
            state = pods.mapping(one.get("state"))
            waiting, ended = pods.mapping(state.get("waiting")), pods.mapping(state.get("terminated"))
            if waiting.get("reason") not in (None, "PodInitializing"):
                return _line(f"container {one.get('name')}: {waiting.get('reason')} {waiting.get('message') or ''}")
            if (
                field == "initContainerStatuses"
                and pods.mapping(state.get("running"))
                and one.get("started") is not True
            ):
                return f"init container {one.get('name')} runs"
            if ended and ended.get("exitCode") != 0:
                return f"container {one.get('name')} ended with exit code {ended.get('exitCode')}"
    reason = status.get("reason")
    return _line(f"{reason}: {status.get('message') or ''}") if reason else ""


def _pulls(events: Iterable[Object]) -> Iterator[Pull]:
    found: dict[str, Pull] = {}
    for one in events:
        message = str(one.get("message") or "")
        if one.get("reason") == "Pulled":
            if there := _PRESENT.search(message):
                # It was pulled for the container's first start; a later start finds it there.
                found.setdefault(there[1], Pull(there[1]))
            elif pulled := _PULLED.search(message):
                found[pulled[1]] = Pull(pulled[1], duration(pulled[2]))
    yield from found.values()


def _said(events: Iterable[Object]) -> Iterator[str]:
    last: dict[str, str] = {}
    for one in events:
        reason = str(one.get("reason") or "")
        if reason in _TELLING and one.get("type") != "Normal":
            last[reason] = _line(f"{reason}: {one.get('message') or ''}")
    yield from last.values()


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it (`1m2.5s`, `350ms`); 0 for anything else."""
    found = _DURATION.fullmatch(text)
    if not found:
        return 0.0
    hours, minutes, seconds, thousandths = (float(group or 0) for group in found.groups())
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _since(condition: Object | None) -> float | None:
    if condition is None or condition.get("status") != "True":
        return None
    return _time(condition.get("lastTransitionTime"))


def _event_time(event: Object) -> float | None:
    for field in ("eventTime", "lastTimestamp", "firstTimestamp"):
        found = _time(event.get(field))
        if found is not None:
            return found
    return None


def _time(value: Any) -> float | None:
    return report.seconds(value) if isinstance(value, str) else None


def _line(text: Any) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
