"""People who create GPU pods all the while, whatever happens to the webhook, and what became of each pod."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.cluster import pods
from tests.cluster.drills.threads import Threads
from webhook.kube import Object, names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

WARM = "warm"
COLD = "cold"
UNREACHABLE = "unreachable"
"""There was no API server to create it: no matter of ours."""

_HALF = "neither warm nor as it was sent"


@dataclass(frozen=True, slots=True)
class Birth:
    """A pod that was asked for: when (`time.monotonic`), how long it took, and what came: WARM, COLD, or why not."""

    began: float
    seconds: float
    outcome: str


class Crowd(Threads):
    """`with Crowd(box, namespace) as crowd:` creates pods in `namespace` from some threads until the block ends."""

    def __init__(self, box: Sandbox, namespace: str, *, threads: int, pause: float) -> None:
        super().__init__(self._create, threads, pause)
        self._box = box
        self._namespace = namespace
        self._births: list[Birth] = []
        self._began = f"{time.monotonic_ns():x}"  # several crowds may come to one namespace

    @property
    def births(self) -> list[Birth]:
        """What became of the pods so far, in the order of the answers."""
        return self._births.copy()

    def outcomes(self, since: float = 0.0) -> list[str]:
        """What became of the pods that were asked for after a moment of `time.monotonic`."""
        return [birth.outcome for birth in self.births if birth.began >= since]

    def wait_for(self, outcome: str, count: int, since: float) -> None:
        """Return when so many pods that were asked for after a moment have come out so."""
        pods.eventually(lambda: self.outcomes(since).count(outcome) >= count, f"{count} pods that are {outcome}")

    def _create(self, thread: int) -> None:
        number = 0
        while not self.over():
            number += 1
            began = time.monotonic()
            outcome = self._one(f"p-{self._began}-{thread}-{number}")
            self._births.append(Birth(began, time.monotonic() - began, outcome))

    def _one(self, name: str) -> str:
        try:
            return look(pods.create(self._box, self._namespace, pods.pod(name, **pods.NOBODY)))
        except RefusedRequest as error:
            return f"refused: {error}"
        except OSError:
            return UNREACHABLE


def look(stored: Object) -> str:
    """WARM, COLD, or that a pod is neither, which it must never be."""
    if pods.hydrators(stored) and names.ANNOTATION_DECISION in stored["metadata"]["annotations"]:
        return WARM
    try:
        pods.assert_untouched(stored)
    except AssertionError:
        return _HALF
    return COLD
