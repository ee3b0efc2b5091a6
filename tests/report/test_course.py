"""What became of a pod, from its status and the events about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders
from webhook.kube import Object, names
from webhook.report.course import Pull, course, duration

IMAGE = "vllm/vllm-openai:v0.11.0"
REPORT = {
    "schema": 1,
    "result": "downloaded",
    "models": [{"source": "s3://acme-models/llama/", "bytes": 16_000_000_000, "checked": True}],
}


def live(hydrator: Object | None = None, *, restarts: int = 0, last: Object | None = None, **status: Any) -> Object:
    """A pod on gpu-1, with the state of its hydrator where it has one."""
    pod = builders.gpu_pod()
    pod["metadata"]["creationTimestamp"] = "2026-11-22T02:07:50Z"
    pod["spec"]["nodeName"] = "gpu-1"
    if hydrator is not None:
        pod["spec"]["initContainers"] = [{"name": names.INIT_CONTAINER, "image": "warmpod:1", "args": ["hydrate"]}]
        told = {"name": names.INIT_CONTAINER, "state": hydrator, "restartCount": restarts, "lastState": last or {}}
        status["initContainerStatuses"] = [told]
    pod["status"] = {"phase": "Running", **status}
    return pod


def ended(message: str, code: int = 0, seconds: int = 42) -> Object:
    return {
        "terminated": {
            "startedAt": "2026-11-22T02:08:00Z",
            "finishedAt": f"2026-11-22T02:08:{seconds:02}Z",
            "exitCode": code,
            "message": message,
        }
    }


def event(reason: str, message: str, at: int = 0, kind: str = "Normal") -> Object:
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-11-22T02:08:{at:02}Z", "type": kind}


@pytest.mark.parametrize(
    ("state", "result", "seconds", "told"),
    [
        (ended(json.dumps(REPORT)), "downloaded", 42.0, ""),
        (ended(json.dumps({**REPORT, "result": "hit"}), seconds=1), "hit", 1.0, ""),
        (ended(json.dumps({**REPORT, "result": "error"}), code=3), "error", 42.0, ""),
        (ended("Killed\nby somebody", code=137), "failed", 42.0, "Killed by somebody"),
        (ended(""), "done", 42.0, ""),
        ({"running": {"startedAt": "2026-11-22T02:08:00Z"}}, "running", None, "since 2026-11-22T02:08:00Z"),
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            "waiting",
            None,
            "ImagePullBackOff no",
        ),
        ({}, "waiting", None, ""),
    ],
    ids=["downloaded", "hit", "error", "killed", "silent", "running", "waiting", "not-yet"],
)
def test_what_the_hydrator_did(state: Object, result: str, seconds: float | None, told: str) -> None:
    found = course(live(state)).hydration
    assert found is not None
    assert (found.result, found.seconds) == (result, seconds)
    assert told in found.told


def test_a_hydrator_that_was_started_again_tells_of_its_last_run() -> None:
    found = course(live({"running": {"startedAt": "x"}}, restarts=3, last=ended("AccessDenied", code=4))).hydration
    assert found is not None
    assert found.restarts == 3
    assert found.told.endswith("its last run ended with exit code 4: AccessDenied")


@pytest.mark.parametrize(
    ("events", "pulls", "there"),
    [
        ([], (), None),
        ([event("Pulled", f'Container image "{IMAGE}" already present on machine')], (Pull(IMAGE),), True),
        (
            [
                event(
                    "Pulled",
                    f'Successfully pulled image "{IMAGE}" in 1m2.5s (1m2.5s including waiting). Image size: 9.',
                )
            ],
            (Pull(IMAGE, 62.5),),
            False,
        ),
        (
            [
                event("Pulled", f'Container image "{IMAGE}" already present on machine', 9),
                event("Pulled", f'Successfully pulled image "{IMAGE}" in 5s (5s including waiting)', 1),
            ],
            (Pull(IMAGE, 5.0),),
            False,
        ),
        ([event("Pulled", 'Container image "warmpod:1" already present on machine')], (), None),
        ([event("Pulling", f'Pulling image "{IMAGE}"')], (), None),
    ],
    ids=["none", "there", "pulled", "pulled-then-restarted", "ours", "pulling"],
)
def test_whether_the_node_held_the_image(events: list[Object], pulls: tuple[Pull, ...], there: bool | None) -> None:
    found = course(live({}), events)
    assert (found.pulls, found.image_was_there) == (pulls, there)


@pytest.mark.parametrize(
    ("status", "waiting"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/4 nodes. preemption: no"}]},
            "not scheduled: 0/4 nodes",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "x"}}}
                ]
            },
            "container a: CrashLoopBackOff x",
        ),
        (
            {"initContainerStatuses": [{"name": "setup", "state": {"running": {"startedAt": "x"}}}]},
            "init container setup runs",
        ),
        (
            {"initContainerStatuses": [{"name": "mesh", "started": True, "state": {"running": {"startedAt": "x"}}}]},
            "",
        ),
        ({"containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "PodInitializing"}}}]}, ""),
        ({"reason": "Evicted", "message": "The node was low on resource"}, "Evicted: The node was low on resource"),
        ({}, ""),
    ],
    ids=["unscheduled", "crashing", "init", "sidecar", "initializing", "evicted", "nothing"],
)
def test_what_holds_it_up(status: Object, waiting: str) -> None:
    assert course(live(**status)).waiting == waiting


def test_the_last_warning_of_each_reason_is_told() -> None:
    events = [
        event("FailedScheduling", "new", 9, "Warning"),
        event("FailedScheduling", "old", 1, "Warning"),
        event("Scheduled", "Successfully assigned", 2),
    ]
    assert course(live(), events).said == ("FailedScheduling: new",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("350ms", 0.35), ("12.5s", 12.5), ("1m2.5s", 62.5), ("1h0m3s", 3603.0), ("", 0.0), ("soon", 0.0), ("-5s", 0.0)],
)
def test_durations_of_go(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["conditions", "initContainerStatuses", "name", "state", "terminated", "running", "type", "message"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _JUNK), _JUNK)
def test_bears_anything(pod: Object, junk: Any) -> None:
    hydrated = {**live({}), "status": junk}
    for one in (pod, hydrated):
        course(one, [junk] if isinstance(junk, dict) else [])
