"""A process of Warmpod's own in the sandbox: a `warmpod` command with a plain port for its readiness and metrics."""

from __future__ import annotations

import http.client
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import webhook
from webhook.sandbox import SandboxFailed, ports
from webhook.sandbox.deployment import Container
from webhook.sandbox.process import Process, wait_until

READY_SECONDS = 30.0

_PACKAGE = Path(webhook.__file__).resolve().parent


class Service:
    """`warmpod NAME ...` on free ports of loopback, which it keeps when it is started again."""

    def __init__(self, name: str, logs: Path) -> None:
        """`logs` is the directory that its log file goes to."""
        self.name = name
        self.metrics_port = 0
        self._log = logs / f"{name}.log"
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running process. Raises `SandboxFailed` before it is started."""
        if self._process is None:
            raise SandboxFailed(f"the {self.name} was not started in this sandbox")
        return self._process

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def metrics_url(self) -> str:
        """Where `/readyz` and `/metrics` are."""
        return f"http://{ports.LOOPBACK}:{self.metrics_port}"

    def run(self, container: Container, *arguments: str) -> None:
        """Start the container's command, after the end of the one before; failures show up as one that ended.

        `arguments` are further flags, which win over the container's variables.
        """
        self.stop()
        # -P: the working directory must not provide modules.
        line = [sys.executable, "-P", "-m", "webhook.cli.main", *container.arguments, *arguments]
        self._process = Process(self.name, line, self._log, environment=_environment(container))
        self._process.start()

    def wait_until_ready(self, others: Sequence[Process] = ()) -> None:
        """Return when `/readyz` says yes. Raises `DeadProcess`, with its last lines, if it does not get there."""
        wait_until(self.is_ready, "get ready", processes=[*others, self.process], seconds=READY_SECONDS)

    def is_ready(self) -> bool:
        """Whether `/readyz` says yes now."""
        try:
            return self._get("/readyz")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def metrics(self) -> str:
        """What `/metrics` says. Raises OSError when it does not answer."""
        return self._get("/metrics")[1]

    def count(self, metric: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels. Raises OSError when it does not answer."""
        total = 0.0
        for given, value in re.findall(rf"^{re.escape(metric)}(?:\{{(.*)\}})? (\S+)$", self.metrics(), re.MULTILINE):
            found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', given))
            if labels.items() <= found.items():
                total += float(value)
        return total

    def details(self) -> str:
        """What `/readyz?verbose` says. Raises OSError when it does not answer."""
        return self._get("/readyz?verbose")[1]

    def kill(self) -> None:
        """End it as a machine that fails would; returns when it is gone."""
        if self._process is not None:
            self._process.send(signal.SIGKILL)
            self._process.stop()

    def stop(self, grace: float = 5.0) -> None:
        """End it, if it was started: SIGTERM, after `grace` seconds SIGKILL."""
        if self._process is not None:
            self._process.stop(grace)

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.metrics_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


def _environment(container: Container) -> dict[str, str]:
    # The settings of whoever runs the sandbox are the sandbox's, and none of its parts'.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WARMPOD_")}
    # A checkout that is not installed works, too.
    path = os.pathsep.join(filter(None, [str(_PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return {**inherited, "PYTHONPATH": path, **container.environment}
