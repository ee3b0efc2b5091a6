"""The sandbox as a whole: one context manager for `warmpod sandbox`, the demo and the cluster tests."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from webhook.kube import Object
from webhook.sandbox import Progress, binaries, install, ports, state
from webhook.sandbox.api import Api, RefusedRequest
from webhook.sandbox.cluster import ATTEMPTS, ControlPlane
from webhook.sandbox.nodes import PretendNode, manifest
from webhook.sandbox.process import DeadProcess, Process, wait_until
from webhook.sandbox.stocktaking import Stocktaking

SETTLE_SECONDS = 60.0
"""How long nodes may take to get ready, and the webhook to be called. 3 s and 1 s on two idle cores."""


class Sandbox:
    """`with Sandbox(policies=Path("policies"), nodes=fleet(...)) as box: box.kubectl("apply", "-f", ...)`.

    Within the block an API server answers, the nodes are ready, the webhook is called for pods of every namespace that
    the manifests do not exclude, and the snapshot follows the cluster within two seconds. Everything ends with the
    block, and with this process, however it ends. Enter it from a thread that lives as long (`Process`).

    `policies` is read by the webhook as it changes; None starts no webhook. `directory` holds kubeconfig, logs and
    data, and keeps the logs afterwards; None takes a temporary one. `audit_log` is a file that gets the API server's
    audit events.
    """

    def __init__(
        self,
        *,
        policies: Path | None,
        nodes: Sequence[PretendNode] = (),
        directory: Path | None = None,
        assets: Path | None = None,
        hydrator_image: str = install.HYDRATOR_IMAGE,
        webhook_arguments: Sequence[str] = (),
        audit_log: Path | None = None,
        progress: Progress = lambda _line: None,
    ) -> None:
        """Find the programs and check the nodes. Raises `MissingBinaries`, and ValueError for a bad image reference."""
        self.binaries = binaries.find(assets)
        self.nodes = tuple(nodes)
        self._node_documents = [manifest(node) for node in self.nodes]
        self._wanted_directory = directory
        self._policies = policies.absolute() if policies else None
        self._hydrator_image = hydrator_image
        self._webhook_arguments = tuple(webhook_arguments)
        self._audit_log = audit_log
        self._progress = progress
        self._held: state.StateDirectory | None = None
        self._plane: ControlPlane | None = None
        self._webhook: install.Webhook | None = None
        self._stocktaking: Stocktaking | None = None
        self._api: Api | None = None

    def __enter__(self) -> Self:
        """Start everything; leaves nothing behind when that fails. Raises `SandboxFailed`."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        del kind, error, trace
        self.close()

    @property
    def directory(self) -> Path:
        """Where kubeconfig, snapshot, logs and data are."""
        assert self._held is not None, "enter the sandbox first"
        return self._held.path

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and clients, as a member of system:masters."""
        return self.directory / state.KUBECONFIG

    @property
    def logs(self) -> Path:
        """A directory with one log file for each process."""
        return self.directory / state.LOGS

    @property
    def snapshot(self) -> Path:
        """The snapshot file that the webhook reads."""
        return self.directory / "snapshot.json"

    @property
    def api(self) -> Api:
        """Calls to the API server with plain objects."""
        assert self._api is not None, "enter the sandbox first"
        return self._api

    @property
    def webhook(self) -> install.Webhook:
        """The webhook's process. Raises AssertionError in a sandbox without one."""
        assert self._webhook is not None, "this sandbox has no webhook"
        return self._webhook

    @property
    def webhook_url(self) -> str:
        """Where the API server finds `/mutate`; without the path. Empty in a sandbox without a webhook."""
        return self._webhook.url if self._webhook else ""

    @property
    def authority_pem(self) -> bytes:
        """The certificate of the authority that signed the API server's and the webhook's certificates."""
        return self._control_plane.files.authority.certificate_pem if self._control_plane.files else b""

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl against this cluster. With `check`, CalledProcessError for a non-zero exit."""
        done = subprocess.run(
            [self.binaries.kubectl, *arguments],
            env={**os.environ, **state.kubectl_environment(self.directory), "KUBERC": "off"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            error.add_note(f"kubectl said: {done.stderr.strip()}")
            raise error
        return done

    def take_stock(self) -> None:
        """Bring the snapshot up to date now rather than within two seconds; returns when the webhook decides by it."""
        stock = self._stocktaking
        assert stock is not None, "enter the sandbox first"
        stock.refresh()
        if self._webhook and self._webhook.process.running:
            wait_until(
                # Asked for anew each time: the background may write one more meanwhile.
                lambda: self.webhook.has_read(stock.latest),
                "read the snapshot",
                processes=[self._webhook.process],
                seconds=SETTLE_SECONDS,
            )

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace; returns when pods can be created in it and the webhook knows its labels."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        wait_until(
            lambda: self._has_account(name),
            f"make the service account of namespace {name}",
            processes=self._control_plane.processes,
            seconds=SETTLE_SECONDS,
        )
        self.take_stock()

    def restart_webhook(self) -> None:
        """Start the webhook again after it was ended, on its old ports; returns when it has read the snapshot."""
        files = self._control_plane.files
        assert files is not None
        self.webhook.stop()
        self.webhook.start(files.authority)
        self.webhook.wait_until_ready()
        self.take_stock()

    def check(self) -> None:
        """Raise `DeadProcess` when a part has ended by itself."""
        for process in self._processes():
            process.check()

    def close(self) -> None:
        """End everything, in order; again is harmless."""
        if self._stocktaking:
            self._stocktaking.stop()
        if self._webhook:
            self._webhook.stop()
        if self._api:
            self._api.close()
        if self._plane:
            self._plane.stop()
        if self._held:
            self._held.release(keep_logs=self._wanted_directory is not None)
            if self._wanted_directory is None:
                shutil.rmtree(self._held.path, ignore_errors=True)
        self._stocktaking = self._webhook = self._api = self._plane = None

    @property
    def _control_plane(self) -> ControlPlane:
        assert self._plane is not None, "enter the sandbox first"
        return self._plane

    def _processes(self) -> list[Process]:
        parts = list(self._plane.processes) if self._plane else []
        return [*parts, self._webhook.process] if self._webhook else parts

    def _start(self) -> None:
        began = time.monotonic()
        # The client's import takes a second of one core, while the API server starts on the other.
        threading.Thread(target=lambda: importlib.import_module("kubernetes.client"), daemon=True).start()
        self._held = state.StateDirectory(self._wanted_directory or Path(tempfile.mkdtemp(prefix="warmpod-sandbox-")))
        self._plane = ControlPlane(self.binaries, self.directory, progress=self._progress, audit_log=self._audit_log)
        self._plane.start()
        self._api = Api(self.kubeconfig)
        self._progress(f"making {len(self.nodes)} pretend nodes")
        for document in self._node_documents:
            self._api.call("POST", "/api/v1/nodes", document)
        if self._policies:
            self._start_webhook(self._policies)
        wait_until(self._settled, "bring the nodes up", processes=self._processes(), seconds=SETTLE_SECONDS)
        self._stocktaking = Stocktaking(
            self._api.list, self.snapshot, models=dict.fromkeys(model for node in self.nodes for model in node.models)
        )
        self._stocktaking.start()
        if self._webhook:
            self.take_stock()
            install.wait_until_called(self._api, self._webhook, SETTLE_SECONDS)
        self._held.announce(
            {
                "kubeconfig": str(self.kubeconfig),
                "kubectl": str(self.binaries.kubectl),
                "server": self._plane.server,
                "webhook": self.webhook_url,
                "metrics": self._webhook.metrics_url if self._webhook else "",
            }
        )
        self._progress(f"up in {time.monotonic() - began:.1f} s")

    def _start_webhook(self, policies: Path) -> None:
        self._progress("starting the webhook")
        files = self._control_plane.files
        assert files is not None
        settings = install.Settings(policies, self._hydrator_image, self._webhook_arguments)
        for attempt in range(1, ATTEMPTS + 1):
            self._webhook = install.Webhook(self.directory, self.snapshot, settings)
            self._webhook.start(files.authority)
            try:
                self._webhook.wait_until_ready()
                break
            except DeadProcess as error:
                if not ports.taken(error.log) or attempt == ATTEMPTS:
                    raise
                self._progress("somebody took one of the webhook's ports; trying others")
        install.apply(self.api, self.binaries.kubectl, self.webhook_url, files.authority)

    def _settled(self) -> bool:
        """Whether every node takes pods, and pods of namespace `default` find their service account."""
        nodes = self.api.list("nodes")
        if len(nodes) < len(self.nodes) or not all(_takes_pods(node) for node in nodes):
            return False
        return self._has_account("default")

    def _has_account(self, namespace: str) -> bool:
        with suppress(RefusedRequest):
            self.api.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
            return True
        return False


def _takes_pods(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not node["spec"].get("taints")
