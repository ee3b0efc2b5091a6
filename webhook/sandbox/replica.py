"""One replica of Warmpod: a webhook and the controller beside it, as the two containers of a pod."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.sandbox.controller import Controller
from webhook.sandbox.process import Process
from webhook.sandbox.webhook import Webhook


class Replica:
    """Two processes with a snapshot and a key pair of their own; only in a sandbox without controllers, one."""

    def __init__(self, name: str, webhook: Webhook, controller: Controller | None) -> None:
        self.name = name
        self.webhook = webhook
        self.controller = controller

    @property
    def processes(self) -> list[Process]:
        """What runs, or should."""
        parts = [self.controller, self.webhook] if self.controller else [self.webhook]
        return [each.process for each in parts]

    def start(self) -> None:
        """Start both, on the ports they had before. The webhook waits for the pair that the controller writes."""
        if not self.webhook.port:
            self.webhook.choose_ports()
        if self.controller:
            self.controller.beside(self.webhook)
            self.controller.start()
        self.webhook.start()

    def wait_until_ready(self, others: Sequence[Process] = ()) -> None:
        """Return when both are. Raises `DeadProcess` as soon as one of `others` or of its own has ended."""
        for each in (self.webhook, self.controller):
            if each:
                each.wait_until_ready([*others, *self.processes])

    def stop(self, grace: float = 5.0) -> None:
        """End both in order, as a kubelet does that deletes the pod: SIGTERM, after `grace` seconds SIGKILL."""
        self.webhook.stop(grace)
        if self.controller:
            self.controller.stop(grace)

    def kill(self) -> None:
        """End both as a node that fails would."""
        self.webhook.kill()
        if self.controller:
            self.controller.kill()
