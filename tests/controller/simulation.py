"""A cluster in virtual time around real keepers: API servers and replicas lag, leaders crash, people edit.

Everything happens in an order drawn from one seed. `Cluster.failed` holds every handshake that did not verify.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from certs.contents import LEAF
from certs.rotation import Terms
from tests.controller.handshakes import serial, usable, verify
from tests.controller.object_twin import Object, Twin
from webhook.controller.keeper import Keeper, KeeperOptions
from webhook.kube import names
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import SECRETS, WEBHOOK_CONFIGURATIONS, ObjectApi, ObjectRequest

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMESPACE = names.SYSTEM_NAMESPACE
HOST = "warmpod-webhook.warmpod-system.svc"
TERMS = Terms(
    (HOST,),
    leaf_lifetime=timedelta(seconds=1500),
    authority_lifetime=timedelta(seconds=6000),
    settle=timedelta(seconds=60),
    overlap=timedelta(seconds=150),
)
FOLLOW = 50.0
"""Seconds after which every API server knows a configuration. With two clocks' errors it is less than `settle`."""
LOAD = 20.0
"""The same of a replica that can reach the API server, and the Secret."""
CUT_OFF = 120.0
"""For so long, at most, a replica may be unheard of and go on serving. With `LOAD` it is less than `overlap`."""


Edit = Callable[["Cluster"], None]


class _Turn:
    """Awaited where a process waits for something: the simulation decides for how long."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Serials(NamedTuple):
    serials: Mapping[str, str | None]
    known: bool


@dataclass
class ApiServer:
    """Knows the configuration as it was some time ago."""

    bundles: tuple[bytes, ...] = ()


@dataclass
class Replica:
    name: str
    pair: tuple[bytes, bytes] | None = None
    reported: str | None = None
    reports: bool = True


@dataclass
class Process:
    """A controller: its keeper, its clock, and what it is doing."""

    name: str
    ahead: float = 0.0
    leads: bool = False
    keeper: Keeper | None = None
    doing: Coroutine[Any, Any, float] | None = None
    asking: ObjectRequest | None = None
    life: int = 0


@dataclass(frozen=True)
class Failure:
    at: float
    why: str


@dataclass
class Faults:
    """What may go wrong; all of it by default."""

    crashes: bool = True
    two_leaders: bool = True
    clocks: bool = True
    partitions: bool = True
    api: bool = True
    edits: Sequence[Edit] = ()
    """What a person does to it now and then."""


@dataclass
class Cluster:
    seed: int
    faults: Faults = field(default_factory=Faults)
    hooks: int = 2
    failed: list[Failure] = field(default_factory=list)
    handshakes: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        random.seed(self.seed)  # keepers draw from it how long they sleep
        self.now = 0.0
        self.twin = Twin()
        self.twin.before, self.twin.after = self._before, self._after
        self.servers = [ApiServer() for _ in range(3)]
        self.replicas: list[Replica] = []
        self.processes = [Process("one", leads=True), Process("two")]
        self.current: Process | None = None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._served = itertools.count()
        self._checked: object = None
        self.authorities: set[bytes] = set()
        self.apply()
        for _ in range(3):
            self._start_replica()
        for process in self.processes:
            self._start(process)
        for server in self.servers:
            self._follow(server)
        self._hand_over()
        self._crash()
        self._step_clock()
        self._ask()
        self._replace_replica()

    # --- what people do

    @property
    def secret(self) -> Object | None:
        return self.twin.get(SECRETS, NAMESPACE, names.TLS_SECRET)

    @property
    def configuration(self) -> Object | None:
        return self.twin.get(WEBHOOK_CONFIGURATIONS, "", names.WEBHOOK_CONFIGURATION)

    @property
    def content(self) -> dict[str, bytes]:
        data = (self.secret or {}).get("data") or {}
        return {key: base64.b64decode(value) for key, value in data.items()}

    def apply(self, bundles: tuple[bytes, ...] = ()) -> None:
        """Put the configuration there, as the manifests have it."""
        given = [base64.b64encode(one).decode() for one in bundles] or [""] * self.hooks
        hooks = [
            {"name": f"h{number}.warmpod.dev", "clientConfig": {"caBundle": one} if one else {}}
            for number, one in enumerate(given)
        ]
        document = {"metadata": {"name": names.WEBHOOK_CONFIGURATION}, "webhooks": hooks}
        self.twin.put(WEBHOOK_CONFIGURATIONS, "", document)

    def edit(self, **changes: bytes | None) -> None:
        """Change keys of the Secret; None removes one. Underscores stand for dots and dashes."""
        assert self.secret is not None
        data = {**self.secret["data"]}
        for name, value in changes.items():
            key = name.replace("__", "-").replace("_", ".")
            if value is None:
                data.pop(key, None)
            else:
                data[key] = base64.b64encode(value).decode()
        self.twin.put(SECRETS, NAMESPACE, {**self.secret, "data": data})

    def annotate(self, key: str, value: str) -> None:
        if self.secret is not None:
            annotations = {**self.secret["metadata"].get("annotations", {}), key: value}
            metadata = {**self.secret["metadata"], "annotations": annotations}
            self.twin.put(SECRETS, NAMESPACE, {**self.secret, "metadata": metadata})

    # --- time

    def run(self, seconds: float) -> None:
        """Let time pass, unless a handshake fails."""
        end = self.now + seconds
        while not self.failed and self._queue[0][0] <= end:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            self._check()
            if authority := (self.secret or {}).get("data", {}).get("ca.crt"):
                self.authorities.add(authority)

    def run_until(self, ready: Callable[[], object], seconds: float) -> None:
        end = self.now + seconds
        while not ready():
            assert self.now < end, "it did not come to that"
            self.run(5)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), act))

    @property
    def true(self) -> datetime:
        return START + timedelta(seconds=self.now)

    # --- handshakes

    def _check(self) -> None:
        """Every replica with every API server, as a hook of each path would call it."""
        pairs = {replica.pair for replica in self.replicas if replica.pair}
        bundles = {each for server in self.servers for each in server.bundles}
        held = (frozenset(pairs), frozenset(bundles))
        if held == self._checked and self.true.second:
            return  # time alone matters once a minute
        self._checked = held
        for pair, each in itertools.product(pairs, bundles):
            self.handshakes += 1
            if why := verify(pair, each, self.true):
                self.failed.append(Failure(self.now, why))

    # --- API servers, replicas

    def _follow(self, server: ApiServer) -> None:
        def learn(bundles: tuple[bytes, ...]) -> None:
            server.bundles = bundles

        def look() -> None:
            hooks = (self.configuration or {}).get("webhooks", [])
            bundles = tuple(base64.b64decode(one["clientConfig"].get("caBundle", "")) for one in hooks)
            if not server.bundles and not any(bundles):
                bundles = ()  # the installation is under way
            # What it sees it knows after a while; and it looks in order, for a watch keeps it.
            self._later(self.chance.uniform(0, FOLLOW / 2), lambda: learn(bundles))
            self._later(FOLLOW / 2, look)

        look()

    def _start_replica(self) -> None:
        replica = Replica(f"replica-{next(self._served)}")
        self.replicas.append(replica)

        def load() -> None:
            if replica not in self.replicas:
                return
            content = self.content
            if all(key in content for key in LEAF):
                pair = (content[LEAF[0]], content[LEAF[1]])
                if usable(pair, self.true):
                    replica.pair = pair
            self._later(self.chance.uniform(0, 3), report)
            if self.faults.partitions and self.chance.random() < 0.01:
                # It says that it is there, and does not come to load anything.
                replica.reports = True
                self._later(self.chance.uniform(150, 400), load)
            elif self.faults.partitions and self.chance.random() < 0.02:
                # It reaches nobody: it serves on, and counts as gone once its Lease is old.
                replica.reports = False
                self._later(self.chance.uniform(LOAD, CUT_OFF), load)
            else:
                replica.reports = True
                self._later(self.chance.choice([2.0, self.chance.uniform(0, LOAD)]), load)

        def report() -> None:
            replica.reported = serial(replica.pair) if replica.pair else None

        self._later(self.chance.uniform(0, LOAD), load)

    def _replace_replica(self) -> None:
        def replace() -> None:
            if len(self.replicas) > 1 and self.chance.random() < 0.5:
                self.replicas.pop(self.chance.randrange(len(self.replicas)))
            if len(self.replicas) < 4:
                self._start_replica()
            self._replace_replica()

        self._later(self.chance.uniform(50, 200), replace)

    # --- controllers

    def _start(self, process: Process) -> None:
        process.life += 1

        async def live() -> Serials:
            await self._before(None)
            found = {one.name: one.reported for one in self.replicas if one.reports}
            known = not self.faults.api or self.chance.random() > 0.05
            await self._after(None)
            return Serials(found if known else {}, known)

        process.keeper = Keeper(
            ObjectApi(self.twin),
            KeeperOptions(
                namespace=NAMESPACE,
                secret=names.TLS_SECRET,
                configuration=names.WEBHOOK_CONFIGURATION,
                directory=None,
                terms=TERMS,
                interval=10.0,
            ),
            live,
            lambda: process.leads,
            lambda: process.ahead + self.chance.uniform(-1, 1),
            clock=lambda: self.true + timedelta(seconds=process.ahead),
        )
        self._look(process, process.life)

    def _look(self, process: Process, life: int) -> None:
        if process.life != life or process.keeper is None:
            return
        process.doing = process.keeper.look()

        def advance() -> None:
            if process.life != life or process.doing is None:
                return
            self.current = process
            try:
                process.doing.send(None)
            except StopIteration as done:
                process.doing = None
                self._later(float(done.value), lambda: self._look(process, life))
            except ApiFailure:
                process.doing = None
                self._later(self.chance.uniform(1, 15), lambda: self._look(process, life))
            else:
                slow = 15.0 if self.chance.random() < 0.1 else 0.3
                self._later(self.chance.uniform(0, slow), advance)
            finally:
                self.current = None

        self._later(0, advance)

    async def _before(self, request: ObjectRequest | None) -> None:
        """The request is on its way."""
        assert self.current is not None
        self.current.asking = request
        await _Turn()
        if self.faults.api and self.chance.random() < 0.02:
            raise ApiFailure("ask", "server", "HTTP 503", status=503)

    async def _after(self, request: ObjectRequest | None) -> None:
        """It was done, and the answer is on its way."""
        assert self.current is not None
        self.current.asking = None
        await _Turn()
        if request is not None and self.faults.api and self.chance.random() < 0.02:
            raise ApiFailure("ask", "unreachable", "the connection broke")

    def _crash(self) -> None:
        def crash() -> None:
            process = self.chance.choice(self.processes)
            if process.doing is not None and process.asking is not None:
                # What was sent may arrive long after who sent it is gone.
                request, late = process.asking, self.chance.uniform(0, 60)
                self._later(late, lambda: self._arrive(request))
            if process.doing is not None:
                process.doing.close()
                process.doing = None
            process.life += 1
            self._later(self.chance.choice([1.0, 30.0]), lambda: self._start(process))
            self._crash()

        if self.faults.crashes:
            self._later(self.chance.expovariate(1 / 40), crash)

    def _arrive(self, request: ObjectRequest) -> None:
        try:
            self.twin._do(request)
        except ApiFailure:
            return

    def _hand_over(self) -> None:
        def hand_over() -> None:
            both = self.faults.two_leaders and self.chance.random() < 0.4
            chosen = self.chance.choice(self.processes)
            for process in self.processes:
                process.leads = both or process is chosen
            self._hand_over()

        self._later(self.chance.uniform(5, 120), hand_over)

    def _step_clock(self) -> None:
        def step() -> None:
            for process in self.processes:
                process.ahead = self.chance.choice([0.0, self.chance.uniform(-4, 4), self.chance.uniform(-1500, 1500)])
            self._step_clock()

        if self.faults.clocks:
            self._later(self.chance.uniform(20, 300), step)

    def _ask(self) -> None:
        def ask() -> None:
            self.annotate(names.ANNOTATION_ROTATE, self.chance.choice(["leaf", "authority", "authority"]))
            if self.faults.edits:
                edit = self.chance.choice(self.faults.edits)
                self._later(self.chance.uniform(0, 120), lambda: edit(self))
            self._ask()

        self._later(120, ask)
