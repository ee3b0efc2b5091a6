"""Several real replicas behind the real Service, and drills on them while pods are created."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, Self

from tests.cluster import pods
from tests.cluster.drills import calls, registration
from tests.cluster.drills.calls import Calls
from tests.cluster.drills.crowd import COLD, UNREACHABLE, WARM, Crowd, look
from tests.cluster.drills.kubelet import Kubelet
from webhook.kube import Object
from webhook.sandbox import install
from webhook.sandbox.controller import Controller
from webhook.sandbox.replica import Replica
from webhook.sandbox.sandbox import Sandbox

TIMEOUT_SECONDS: Final = 2.0
"""Of the registration (manifests/base): what one call may cost a pod."""

BUDGET_SECONDS: Final = TIMEOUT_SECONDS + 1.5
"""What a pod may take in all; the rest is for the API server itself on a busy machine."""

DRAIN_SECONDS: Final = 5.0
"""As manifests/base has it: API servers learn meanwhile that an endpoint is gone, on a busy machine not at once."""

SETTLE_SECONDS: Final = 1.5
"""How long whoever trusts the registration may take to read it: API servers, and the clients of `handshakes`."""

IDLE_CONNECTIONS: Final = 25
"""What an API server keeps open to one hook (idleConnsPerHost of client-go)."""


class Drill:
    """What is seen of one drill: `before` is what the API server had counted, `calls` what it counted in the drill."""

    def __init__(self, crowd: Crowd, before: Calls) -> None:
        self.crowd = crowd
        self.before = before
        self.calls = Calls()

    def mark(self) -> float:
        """This moment, for `outcomes` and the waits."""
        return time.monotonic()

    def wait_for(self, outcome: str, count: int) -> None:
        """Return when so many pods that are asked for from now on have come out so."""
        self.crowd.wait_for(outcome, count, time.monotonic())

    def all_warm(self, count: int = 12) -> None:
        """Return when so many more pods were created; every one that was asked for from now on is warm."""
        since = time.monotonic()
        self.crowd.wait_for(WARM, count, since)
        self.only(WARM, since)

    def only(self, outcome: str, since: float) -> None:
        """Whatever was asked for since then came out so."""
        found = Counter(self.crowd.outcomes(since))
        assert set(found) == {outcome}, f"not only {outcome}: {found}"

    def warm_again(self, count: int = 12) -> None:
        """Return when so many pods in a row, all that were asked for in that time, are warm."""
        pods.eventually(lambda: self.crowd.outcomes()[-count:] == [WARM] * count, "pods that are warm again")
        self.all_warm(count)

    @property
    def cold(self) -> int:
        """How many pods were admitted as they were sent."""
        return self.crowd.outcomes().count(COLD)


class Fleet:
    """`with Fleet(box) as fleet:` leads the Service to the sandbox's replicas, and the registration to the Service.

    Every replica must listen on `address`.
    """

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.address = own_address()
        self.kubelet = Kubelet(box, self.address)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Return when the API server calls a replica by the Service."""
        self._stack.enter_context(self.kubelet)
        for replica in self.replicas:
            self.join(replica)
        [hooks] = [each["webhooks"] for each in install.rendered(self.box.binaries.kubectl) if "webhooks" in each]
        registration.lead_to_the_service(self.box, hooks)
        pods.eventually(self._is_called, "call by the Service")
        return self

    def _is_called(self) -> bool:
        """Whether the API server calls us, by a pod that it only pretends to create."""
        return look(pods.create(self.box, "default", make_gpu_pod("called"), dryRun="All")) == WARM

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the Service."""
        self._stack.close()

    @property
    def replicas(self) -> Sequence[Replica]:
        """Those of now."""
        return self.box.replicas

    def join(self, replica: Replica) -> None:
        """Return when the Service leads to this replica."""
        self.kubelet.watch(replica)
        pods.eventually(lambda: self.kubelet.leads_to(replica), f"endpoint of {replica.name}")

    def left(self, replica: Replica) -> None:
        """Return when the Service does not lead to this replica any more, by what its probe said."""
        pods.eventually(lambda: not self.kubelet.leads_to(replica), f"end of the endpoint of {replica.name}")

    def start(self, *replicas: Replica) -> None:
        """Start these replicas' webhooks again; returns when the Service leads to them."""
        for replica in replicas:
            replica.webhook.start()
        for replica in replicas:
            replica.webhook.wait_until_ready()
            self.join(replica)

    def busiest(self) -> Replica:
        """The replica that gets the most reviews now: an API server keeps to the connections that it has."""
        before = {replica.name: replica.webhook.reviews() for replica in self.replicas}
        pods.eventually(
            lambda: sum(each.webhook.reviews() for each in self.replicas) >= sum(before.values()) + 10, "reviews"
        )
        return max(self.replicas, key=lambda replica: replica.webhook.reviews() - before[replica.name])

    def leader(self) -> Controller:
        """The controller that leads; waits for one."""

        def look() -> Controller | None:
            leading = [each for each in self.box.controllers if each.is_leader()]
            return leading[0] if len(leading) == 1 else None

        found: Controller = pods.eventually(look, "controller that leads")
        return found

    def evict(self, replica: Replica, *, late: float) -> None:
        """Delete its pod: SIGTERM from the kubelet, and `late` seconds later the endpoint goes, and not before.

        Returns at its end, which is an orderly one.
        """
        self.kubelet.neglect(replica)
        replica.webhook.process.send(signal.SIGTERM)
        time.sleep(late)
        self.kubelet.forget(replica)
        pods.eventually(lambda: not replica.webhook.running, f"end of {replica.name}")

    def send(self, number: signal.Signals, *replicas: Replica) -> None:
        """Send a signal to the webhooks of these replicas."""
        for replica in replicas:
            replica.webhook.process.send(number)

    @contextmanager
    def drill(
        self, namespace: str, *, threads: int = 3, pause: float = 0.08, budget: float = BUDGET_SECONDS
    ) -> Iterator[Drill]:
        """Create pods for as long as the block takes, and hold it to what every drill must hold.

        Every pod is admitted within its budget, warm or as it was sent. Who was admitted as sent was counted by the API
        server, and with each at most one review of a pod that another review had made warm already.
        """
        before = calls.read(self.box)
        with Crowd(self.box, namespace, threads=threads, pause=pause) as crowd:
            drill = Drill(crowd, before)
            drill.all_warm()
            yield drill
        after = calls.read(self.box)
        drill.calls = after - before
        births = crowd.births
        others = {birth.outcome for birth in births} - {WARM, COLD, UNREACHABLE}
        assert not others, f"pods were not admitted as they should: {others}"
        assert drill.calls.rejected == 0, f"the API server rejected pods because of us: {drill.calls}"
        slow = [birth for birth in births if birth.seconds > budget and birth.outcome != UNREACHABLE]
        assert not slow, f"pods took longer than {budget:g} s: {slow}"


def own_address() -> str:
    """An address of this machine that is not loopback, which endpoints may not be. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))  # TEST-NET-1: nobody's
        return str(one.getsockname()[0])


def make_gpu_pod(name: str) -> Object:
    """A pod that the crowd creates, for those who create one by hand."""
    return pods.pod(name, **pods.NOBODY)
