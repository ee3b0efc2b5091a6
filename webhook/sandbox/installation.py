"""Warmpod in a control plane: its manifests as they are, and its pods' containers as processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from webhook.kube import Object, names
from webhook.sandbox import Progress, controller, credentials, deployment, install, ports, stock, webhook
from webhook.sandbox.api import Api
from webhook.sandbox.cluster import ATTEMPTS, ControlPlane
from webhook.sandbox.controller import Controller
from webhook.sandbox.process import DeadProcess, Process, wait_until
from webhook.sandbox.replica import Replica
from webhook.sandbox.webhook import Webhook

SETTLE_SECONDS = 60.0
"""How long nodes may take to get ready, the webhook to be called, a snapshot to catch up. 3 s on two idle cores."""

SNAPSHOT = "snapshot.json"

_RELEASE_SECONDS = 2.0
"""How long a controller may take to give its leases back when all ends."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run: no webhook without `policies`; `replicas` webhooks, each with a controller beside it.

    More `controllers` than replicas run by themselves; with none of them, webhooks are alone.
    """

    policies: Path | None
    hydrator_image: str = webhook.HYDRATOR_IMAGE
    webhook_arguments: tuple[str, ...] = ()
    replicas: int = 1
    controllers: int = 1
    controller_arguments: tuple[str, ...] = ()


class Installation:
    """The parts of Warmpod that run."""

    def __init__(self, directory: Path, plane: ControlPlane, wanted: Wanted, progress: Progress) -> None:
        self._directory = directory
        self._plane = plane
        self._wanted = wanted
        self._progress = progress
        self._deployment: Object = {}
        self._registrations: list[Object] = []
        self.replicas: list[Replica] = []
        self.controllers: list[Controller] = []

    @property
    def processes(self) -> list[Process]:
        """What runs, or should."""
        alone = [each.process for each in self.controllers]
        return [*alone, *(each.webhook.process for each in self.replicas)]

    def start(self, api: Api, manifests: Sequence[Object]) -> None:
        """Install the manifests and start everything; returns when all are ready. Raises `SandboxFailed`."""
        wanted = self._wanted
        count = wanted.replicas if wanted.policies else 0
        manifests = [install.scaled(each, count) for each in manifests]
        [self._deployment] = [each for each in manifests if each["kind"] == "Deployment"]
        install.apply(api, [each for each in manifests if "webhooks" not in each])
        if wanted.controllers:
            path = self._directory / "credentials" / controller.KUBECONFIG
            credentials.write_private(path, self.kubeconfig_of(controller.token(api)))
        for number in range(1, max(count, wanted.controllers) + 1):
            name = "" if number == 1 else str(number)
            if number <= count:
                self._make_replica(name, with_controller=number <= wanted.controllers)
            else:
                self._make_controller(name)
        if self.replicas:
            self._progress("starting the webhook")
            self._registrations = [each for each in manifests if "webhooks" in each]
            self.replicas[0].webhook.choose_ports()
            install.apply(api, self._registered())
        for replica in self.replicas:
            replica.start()
        for alone in self.controllers[len(self.replicas) :]:
            alone.start()
        for replica in self.replicas:
            self._make_ready(api, replica)
        for each in self.controllers:
            _on_free_ports(each.wait_until_ready, partial(self._move, each))

    def kubeconfig_of(self, token: str) -> bytes:
        """A kubeconfig for whoever has this token."""
        assert self._plane.files is not None
        return credentials.kubeconfig(self._plane.server, self._plane.files.authority, token)

    def add_replica(
        self, api: Api, name: str, *, host: str, webhook: Sequence[str], controller: Sequence[str]
    ) -> Replica:
        """Start one more replica, whose webhook listens on `host`, with further flags; returns when it is ready."""
        made = self._make_replica(name, host=host, webhook_arguments=webhook, controller_arguments=controller)
        made.start()
        self._make_ready(api, made)
        return made

    def remove_replica(self, one: Replica) -> None:
        """End a replica, for good."""
        one.stop()
        self.replicas.remove(one)
        if one.controller:
            self.controllers.remove(one.controller)

    def add_controller(self, name: str, *arguments: str) -> Controller:
        """Start one more controller that is beside no webhook, with further flags; returns when it is ready."""
        made = self._make_controller(name, arguments)
        made.start()
        made.wait_until_ready()
        return made

    def remove_controller(self, one: Controller) -> None:
        """End a controller, for good."""
        one.stop()
        self.controllers.remove(one)

    def restart_webhook(self) -> None:
        """Start the first webhook again after it was ended, on its old ports; returns when it is ready."""
        first = self.replicas[0].webhook
        first.stop()
        first.start()
        first.wait_until_ready()

    def take_stock(self, api: Api) -> None:
        """Return when the first controller and its webhook know all that the API says, and all labels are written."""
        first = self.controllers[0]
        missing = ""

        def up_to_date() -> bool:
            nonlocal missing
            try:
                found = stock.caught_up(api, first.snapshot)
            except (stock.Behind, OSError) as error:  # the API server may be busy, or on its way up
                missing = str(error)
                return False
            missing = "have the webhook read it"
            reader = self.replicas[0].webhook if self.replicas else None
            return reader is None or not reader.running or reader.has_read(found)

        wait_until(up_to_date, lambda: missing, processes=[first.process], seconds=SETTLE_SECONDS)

    def stop(self) -> None:
        """End everything that runs."""
        for replica in self.replicas:
            replica.webhook.stop()
        for each in self.controllers:
            each.stop(_RELEASE_SECONDS)

    def _make_replica(
        self,
        name: str,
        *,
        host: str = ports.LOOPBACK,
        with_controller: bool = True,
        webhook_arguments: Sequence[str] = (),
        controller_arguments: Sequence[str] = (),
    ) -> Replica:
        wanted = self._wanted
        assert wanted.policies is not None, "this sandbox has no webhook"
        beside = self._make_controller(name, controller_arguments) if with_controller else None
        place = self._place(name)
        made = Webhook(
            self._container(deployment.WEBHOOK, place.name),
            webhook.Settings(
                wanted.policies, wanted.hydrator_image, (*wanted.webhook_arguments, *webhook_arguments), host
            ),
            name=_named(deployment.WEBHOOK, name),
            logs=self._directory / "logs",
            pair=place / "tls",
            snapshot=self._snapshot(name),
        )
        if beside is None:
            assert self._plane.files is not None
            made.issue(self._plane.files.authority)
        replica = Replica(place.name, made, beside)
        self.replicas.append(replica)
        return replica

    def _make_controller(self, name: str, arguments: Sequence[str] = ()) -> Controller:
        place = self._place(name)
        made = Controller(
            self._container(deployment.CONTROLLER, place.name),
            controller.Settings(
                self._directory / "credentials" / controller.KUBECONFIG,
                webhook.NAMES,
                (*self._wanted.controller_arguments, *arguments),
            ),
            name=_named(deployment.CONTROLLER, name),
            logs=self._directory / "logs",
            pair=place / "tls",
            snapshot=self._snapshot(name),
        )
        self.controllers.append(made)
        return made

    def _container(self, name: str, pod: str) -> deployment.Container:
        return deployment.container(self._deployment, name, deployment.Pod(pod, names.SYSTEM_NAMESPACE))

    def _place(self, name: str) -> Path:
        return self._directory / "replicas" / _named("warmpod", name)

    def _snapshot(self, name: str) -> Path:
        return self._directory / (f"snapshot-{name}.json" if name else SNAPSHOT)

    def _registered(self) -> list[Object]:
        """The webhook configurations as they lead to the first replica."""
        first = self.replicas[0]
        pem = b"" if first.controller else self._plane.authority_pem
        return [install.pointed_at(each, first.webhook.url, pem) for each in self._registrations]

    def _make_ready(self, api: Api, replica: Replica) -> None:
        def move() -> None:
            self._progress(f"somebody took one of the ports of {replica.name}; trying others")
            replica.stop()
            replica.webhook.choose_ports()
            if replica.controller:
                replica.controller.metrics_port = 0
            if replica is self.replicas[0]:
                install.replace_hooks(api, self._registered())
            replica.start()

        _on_free_ports(replica.wait_until_ready, move)

    def _move(self, one: Controller) -> None:
        self._progress(f"somebody took the port of {one.name}; trying another")
        one.metrics_port = 0
        one.start()


def _named(what: str, name: str) -> str:
    return f"{what}-{name}" if name else what


def _on_free_ports(wait: Callable[[], None], again: Callable[[], None]) -> None:
    """Wait for something that was started on free ports, and start it again while somebody else took one first."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            wait()
        except DeadProcess as error:
            if not ports.taken(error.log) or attempt == ATTEMPTS:
                raise
            again()
        else:
            return
