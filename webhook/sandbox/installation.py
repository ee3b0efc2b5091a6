"""Warmpod in a control plane: its manifests, its controllers and its webhook, as processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from webhook.kube import Object
from webhook.sandbox import Progress, controller, credentials, install, ports, stock
from webhook.sandbox.api import Api
from webhook.sandbox.cluster import ATTEMPTS, ControlPlane
from webhook.sandbox.controller import Controller
from webhook.sandbox.install import Webhook
from webhook.sandbox.process import DeadProcess, Process, wait_until

SETTLE_SECONDS = 60.0
"""How long nodes may take to get ready, the webhook to be called, a snapshot to catch up. 3 s on two idle cores."""

SNAPSHOT = "snapshot.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run: no webhook without `policies`, and as many `controllers` as said, with these further flags."""

    policies: Path | None
    hydrator_image: str = install.HYDRATOR_IMAGE
    webhook_arguments: tuple[str, ...] = ()
    controllers: int = 1
    controller_arguments: tuple[str, ...] = ()


class Installation:
    """The parts of Warmpod that run. The webhook reads the snapshot of the first controller, as its sidecar."""

    def __init__(self, directory: Path, plane: ControlPlane, wanted: Wanted, progress: Progress) -> None:
        self._directory = directory
        self._plane = plane
        self._wanted = wanted
        self._progress = progress
        self.webhook: Webhook | None = None
        self.controllers: list[Controller] = []

    @property
    def processes(self) -> list[Process]:
        """What runs, or should."""
        parts = [each.process for each in self.controllers]
        return [*parts, self.webhook.process] if self.webhook else parts

    def start(self, api: Api, manifests: Sequence[Object]) -> None:
        """Install the manifests and start everything; returns when all are ready. Raises `SandboxFailed`."""
        wanted = self._wanted
        install.apply(api, [each for each in manifests if "webhooks" not in each])
        if wanted.controllers:
            path = self._directory / "credentials" / controller.KUBECONFIG
            credentials.write_private(path, self.kubeconfig_of(controller.token(api)))
        for number in range(1, wanted.controllers + 1):
            self.add_controller("controller" if number == 1 else f"controller-{number}")
        if wanted.policies:
            self._start_webhook(wanted.policies)
            url, pem = self._webhook.url, self._plane.authority_pem
            install.apply(api, [install.pointed_at(each, url, pem) for each in manifests if "webhooks" in each])
        for each in self.controllers:
            _on_free_ports(each.wait_until_ready, partial(self._move, each))

    def kubeconfig_of(self, token: str) -> bytes:
        """A kubeconfig for whoever has this token."""
        assert self._plane.files is not None
        return credentials.kubeconfig(self._plane.server, self._plane.files.authority, token)

    def add_controller(self, name: str, *arguments: str) -> Controller:
        """Start one more controller, with further flags; the first one writes the webhook's snapshot."""
        snapshot = SNAPSHOT if not self.controllers else f"snapshot-{name}.json"
        flags = (*self._wanted.controller_arguments, *arguments)
        made = Controller(self._directory, self._directory / snapshot, flags, name=name)
        made.start()
        self.controllers.append(made)
        return made

    def remove_controller(self, one: Controller) -> None:
        """End a controller, for good."""
        one.stop()
        self.controllers.remove(one)

    def _move(self, one: Controller) -> None:
        self._progress(f"somebody took the port of {one.name}; trying another")
        one.metrics_port = 0
        one.start()

    def restart_webhook(self) -> None:
        """Start the webhook again after it was ended, on its old ports; returns when it is ready."""
        assert self._plane.files is not None
        self._webhook.stop()
        self._webhook.start(self._plane.files.authority)
        self._webhook.wait_until_ready()

    def take_stock(self, api: Api) -> None:
        """Return when the first controller and the webhook know all that the API says, and all labels are written."""
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
            return self.webhook is None or not self.webhook.running or self.webhook.has_read(found)

        wait_until(up_to_date, lambda: missing, processes=[first.process], seconds=SETTLE_SECONDS)

    def stop(self) -> None:
        """End everything that runs."""
        if self.webhook:
            self.webhook.stop()
        for each in self.controllers:
            each.stop(grace=2.0)  # it gives its lease back, which needs the API server once

    @property
    def _webhook(self) -> Webhook:
        assert self.webhook is not None, "this sandbox has no webhook"
        return self.webhook

    def _start_webhook(self, policies: Path) -> None:
        self._progress("starting the webhook")
        assert self._plane.files is not None
        authority = self._plane.files.authority
        settings = install.Settings(policies, self._wanted.hydrator_image, self._wanted.webhook_arguments)

        def start() -> None:
            self.webhook = Webhook(self._directory, self._directory / SNAPSHOT, settings)
            self.webhook.start(authority)
            self.webhook.wait_until_ready()

        _on_free_ports(start, lambda: self._progress("somebody took one of the webhook's ports; trying others"))


def _on_free_ports(start: Callable[[], None], again: Callable[[], None]) -> None:
    """Call `start`, which picks free ports, until nobody else took one of them first."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            start()
        except DeadProcess as error:
            if not ports.taken(error.log) or attempt == ATTEMPTS:
                raise
            again()
        else:
            return
