"""The sandbox as a whole: one context manager for `warmpod sandbox`, the demo and the cluster tests."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from webhook.sandbox import Progress, binaries, install, kubectl, models, state
from webhook.sandbox.api import Api
from webhook.sandbox.cluster import ControlPlane
from webhook.sandbox.controller import Controller
from webhook.sandbox.installation import SETTLE_SECONDS, SNAPSHOT, Installation, Wanted
from webhook.sandbox.nodes import PretendNode, manifest, takes_pods
from webhook.sandbox.ports import LOOPBACK
from webhook.sandbox.process import Process, wait_until
from webhook.sandbox.replica import Replica
from webhook.sandbox.webhook import HYDRATOR_IMAGE, Webhook


class Sandbox:
    """`with Sandbox(policies=Path("policies"), nodes=fleet(...)) as box: box.kubectl("apply", "-f", ...)`.

    Within the block an API server answers, the nodes are ready, the webhook is called for pods of every namespace that
    the manifests do not exclude, and the real controller keeps the snapshot, the labels of the nodes and the webhook's
    certificates. Everything ends with the block, and with this process, however it ends. Enter it from a thread that
    lives as long (`Process`).

    `policies` is read by the webhook as it changes; None starts no webhook. `replicas` are pairs of a webhook and its
    controller, of which one controller is elected; the API server calls the first one's webhook. More `controllers`
    than that run by themselves; none at all leaves the webhooks alone, with certificates of the sandbox's authority.
    `directory` holds kubeconfig, logs and data, and keeps the logs afterwards; None takes a temporary one. `audit_log`
    is a file that gets the API server's audit events. `api_server_arguments` are further flags of kube-apiserver.
    `overlay` is that of the manifests; with an empty one nothing of Warmpod is there, and nothing of it runs.
    """

    def __init__(
        self,
        *,
        policies: Path | None,
        nodes: Sequence[PretendNode] = (),
        directory: Path | None = None,
        assets: Path | None = None,
        hydrator_image: str = HYDRATOR_IMAGE,
        webhook_arguments: Sequence[str] = (),
        replicas: int = 1,
        controllers: int = 1,
        controller_arguments: Sequence[str] = (),
        audit_log: Path | None = None,
        api_server_arguments: Sequence[str] = (),
        overlay: str = install.OVERLAY,
        progress: Progress = lambda _line: None,
    ) -> None:
        """Find the programs and check the nodes. Raises `MissingBinaries`, and ValueError for a bad image reference."""
        self.binaries = binaries.find(assets)
        self.nodes = tuple(nodes)
        for node in self.nodes:
            manifest(node)
        self._wanted_directory = directory
        self._wanted = Wanted(
            policies=policies.absolute() if policies else None,
            hydrator_image=hydrator_image,
            webhook_arguments=tuple(webhook_arguments),
            replicas=replicas,
            controllers=max(controllers, replicas) if controllers else 0,
            controller_arguments=tuple(controller_arguments),
        )
        self._audit_log = audit_log
        self._api_server_arguments = tuple(api_server_arguments)
        self._overlay = overlay
        self._progress = progress
        self._held: state.StateDirectory | None = None
        self._plane: ControlPlane | None = None
        self._installation: Installation | None = None
        self._api: Api | None = None

    def __enter__(self) -> Self:
        """Start everything; leaves nothing behind when that fails. Raises `SandboxFailed`."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
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
        """The snapshot file that the first controller writes and the webhook reads."""
        return self.directory / SNAPSHOT

    @property
    def api(self) -> Api:
        """Calls to the API server with plain objects."""
        assert self._api is not None, "enter the sandbox first"
        return self._api

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Webhooks and the controllers beside them; the API server calls the first one."""
        return tuple(self._warmpod.replicas)

    @property
    def webhook(self) -> Webhook:
        """The first replica's webhook. Raises AssertionError in a sandbox without one."""
        assert self._warmpod.replicas, "this sandbox has no webhook"
        return self._warmpod.replicas[0].webhook

    @property
    def webhook_url(self) -> str:
        """Where the API server finds `/mutate`; without the path. Empty in a sandbox without a webhook."""
        return self.webhook.url if self._warmpod.replicas else ""

    @property
    def controllers(self) -> tuple[Controller, ...]:
        """The controllers' processes; the first one is the first webhook's sidecar."""
        return tuple(self._warmpod.controllers)

    @property
    def authority_pem(self) -> bytes:
        """The certificate of the authority that signed the API server's certificate."""
        return self._control_plane.authority_pem

    def kubeconfig_of(self, token: str) -> bytes:
        """A kubeconfig for whoever has this token."""
        return self._warmpod.kubeconfig_of(token)

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl against this cluster. With `check`, CalledProcessError for a non-zero exit."""
        return kubectl.run(self.binaries.kubectl, self.directory, arguments, stdin=stdin, check=check)

    def take_stock(self) -> None:
        """Return when the controller and the webhook know what the API says now, and all labels are written.

        It takes about a second: a controller writes no oftener. Raises `DeadProcess` after a minute.
        """
        if self._warmpod.controllers:
            self._warmpod.take_stock(self.api)

    def make_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Create a namespace; returns when pods can be created in it and the webhook knows its labels."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        wait_until(
            lambda: self.api.exists(f"/api/v1/namespaces/{name}/serviceaccounts/default"),
            f"make the service account of namespace {name}",
            processes=self._control_plane.processes,
            seconds=SETTLE_SECONDS,
        )
        self._hydrate(name)
        self.take_stock()

    def restart_webhook(self) -> None:
        """Start the webhook again after it was ended, on its old ports; returns when it has read the snapshot."""
        self._warmpod.restart_webhook()
        self.take_stock()

    def add_replica(
        self, name: str, *, host: str = LOOPBACK, webhook: Sequence[str] = (), controller: Sequence[str] = ()
    ) -> Replica:
        """Start one more replica, with further flags of its two commands; returns when its webhook is ready.

        `name` is a DNS label. `host` is an address of this machine that its webhook listens on: what a Service is to
        lead to may not be loopback. Nothing leads there by itself.
        """
        return self._warmpod.add_replica(self.api, name, host=host, webhook=webhook, controller=controller)

    def remove_replica(self, one: Replica) -> None:
        """End a replica, for good."""
        self._warmpod.remove_replica(one)

    def add_controller(self, name: str, *arguments: str) -> Controller:
        """Start one more controller beside no webhook, with further flags; returns when it is ready."""
        return self._warmpod.add_controller(name, *arguments)

    def remove_controller(self, one: Controller) -> None:
        """End a controller, for good."""
        self._warmpod.remove_controller(one)

    def make_node(self, node: PretendNode) -> None:
        """Add a node while the sandbox runs. Its `models` are not looked at."""
        self.api.call("POST", "/api/v1/nodes", manifest(node))

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Kill the API server; it starts again after the block, and answers when this returns."""
        with self._control_plane.without_api_server():
            yield

    def compact_etcd(self) -> int:
        """Have etcd forget all but the last state of each object; returns the revision (`ControlPlane.compact`)."""
        return self._control_plane.compact()

    def check(self) -> None:
        """Raise `DeadProcess` when a part has ended by itself."""
        for process in self.processes:
            process.check()

    def close(self) -> None:
        """End everything, in order; again is harmless."""
        if self._installation:
            self._installation.stop()
        if self._api:
            self._api.close()
        if self._plane:
            self._plane.stop()
        if self._held:
            self._held.release(keep_logs=self._wanted_directory is not None)
            if self._wanted_directory is None:
                shutil.rmtree(self._held.path, ignore_errors=True)
        self._installation = self._api = self._plane = None

    @property
    def _control_plane(self) -> ControlPlane:
        assert self._plane is not None, "enter the sandbox first"
        return self._plane

    @property
    def _warmpod(self) -> Installation:
        assert self._installation is not None, "enter the sandbox first"
        return self._installation

    @property
    def processes(self) -> list[Process]:
        """Everything that runs, or should."""
        return [each for part in (self._plane, self._installation) if part for each in part.processes]

    def _start(self) -> None:
        began = time.monotonic()
        # The client's import takes a second of one core, while the API server starts on the other.
        threading.Thread(target=lambda: importlib.import_module("kubernetes.client"), daemon=True).start()
        self._held = state.StateDirectory(self._wanted_directory or Path(tempfile.mkdtemp(prefix="warmpod-sandbox-")))
        self._plane = ControlPlane(
            self.binaries,
            self.directory,
            progress=self._progress,
            audit_log=self._audit_log,
            api_server_arguments=self._api_server_arguments,
        )
        self._plane.start()
        self._api = Api(self.kubeconfig)
        self._progress(f"making {len(self.nodes)} pretend nodes")
        for node in self.nodes:
            self.make_node(node)
        self._installation = Installation(self.directory, self._plane, self._wanted, self._progress)
        if self._overlay:
            self._progress("installing Warmpod")
            self._installation.start(self._api, install.rendered(self.binaries.kubectl, self._overlay))
        wait_until(self._settled, "bring the nodes up", processes=self.processes, seconds=SETTLE_SECONDS)
        self._hydrate(models.DEFAULT_NAMESPACE)
        self.take_stock()
        if self._installation.replicas:
            install.wait_until_called(self._api, self.webhook, SETTLE_SECONDS)
        self._held.announce(
            {
                "kubeconfig": str(self.kubeconfig),
                "kubectl": str(self.binaries.kubectl),
                "server": self._plane.server,
                "webhook": self.webhook_url,
                "metrics": self.webhook.metrics_url if self._installation.replicas else "",
            }
        )
        self._progress(f"up in {time.monotonic() - began:.1f} s")

    def _hydrate(self, namespace: str) -> None:
        image, processes = self._wanted.hydrator_image, self._control_plane.processes
        models.hydrate(self.api, self.nodes, namespace, image, processes=processes, seconds=SETTLE_SECONDS)

    def _settled(self) -> bool:
        """Whether every node takes pods, and pods of namespace `default` find their service account."""
        ready = sum(takes_pods(node) for node in self.api.list("nodes"))
        return ready >= len(self.nodes) and self.api.exists("/api/v1/namespaces/default/serviceaccounts/default")
