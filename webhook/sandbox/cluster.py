"""The control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok for the kubelets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from webhook.kube import Object
from webhook.sandbox import Progress, credentials, ports
from webhook.sandbox.binaries import Binaries
from webhook.sandbox.process import DeadProcess, Process, wait_until

ATTEMPTS = 3
"""How often a start is tried when somebody else takes a port between our look and the bind."""

ETCD_SECONDS = 30.0
READY_SECONDS = 90.0
"""How long the API server may take: 5 s on two idle cores, much longer on a loaded machine."""

STAGES = Path(__file__).with_name("stages.yaml")
"""How kwok plays kubelets."""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # Pods with their patches, of everything else who did what.
    "rules": [
        {"level": "Request", "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "Metadata"},
    ],
}


class ControlPlane:
    """A Kubernetes API with scheduler, controllers and pretend kubelets, for as long as this process lives.

    `start` leaves either everything running or nothing. Start it from a thread that lives as long as it (`Process`).
    """

    def __init__(
        self,
        binaries: Binaries,
        directory: Path,
        *,
        progress: Progress,
        audit_log: Path | None = None,
        api_server_arguments: Sequence[str] = (),
    ) -> None:
        self._binaries = binaries
        self._directory = directory
        self._progress = progress
        self._audit_log = audit_log
        self._api_server_arguments = tuple(api_server_arguments)
        self._processes: list[Process] = []
        self.kubeconfig = directory / "kubeconfig"
        self.server = ""
        self.files: credentials.Files | None = None
        self._etcd_port = self._server_port = 0

    @property
    def processes(self) -> tuple[Process, ...]:
        """What runs, in the order of its start."""
        return tuple(self._processes)

    @property
    def authority_pem(self) -> bytes:
        """The certificate of the authority that signs every server's certificate here; empty before `start`."""
        return self.files.authority.certificate_pem if self.files else b""

    def start(self) -> None:
        """Return when the API server is ready and the others are started. Raises `DeadProcess`."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start_once()
            except DeadProcess as error:
                self.stop()
                if not ports.taken(error.log) or attempt == ATTEMPTS:
                    raise
                self._progress("somebody took one of the ports; trying others")
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """End everything, last started first. The data of etcd goes with its directory, whoever owns that."""
        for process in reversed(self._processes):
            # etcd and the API server would wait for watches to end; nothing here outlives them, so no grace is due.
            process.stop(grace=0.5)
        self._processes.clear()

    def check(self) -> None:
        """Raise `DeadProcess` for a part that has ended by itself."""
        for process in self._processes:
            process.check()

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Kill the API server as if its machine had failed; start it again, on its port and data, after the block.

        What watches it starts over: its memory of recent changes is gone with it. Returns when it is ready.
        """
        server = next(process for process in self._processes if process.name == "kube-apiserver")
        server.send(signal.SIGKILL)
        server.stop()
        try:
            yield
        finally:
            server.start()
            self._wait_for_api_server()

    def compact(self) -> int:
        """Have etcd forget every change but the last state of each object; returns the revision it did so at.

        To the API server's clients: lists that were half read, and watches of older versions, answer HTTP 410. Raises
        OSError when etcd does not answer.
        """
        # etcd speaks JSON beside gRPC: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/. Bytes are base64.
        revision = int(self._etcd("/v3/kv/range", {"key": "Lw==", "limit": 1})["header"]["revision"])
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return revision

    def _etcd(self, path: str, body: Object) -> Object:
        connection = http.client.HTTPConnection(ports.LOOPBACK, self._etcd_port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"etcd: {error}") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise ConnectionError(f"etcd: POST {path}: HTTP {answer.status}: {content[:200].decode(errors='replace')}")
        found: Object = json.loads(content)
        return found

    def _wait_for_api_server(self) -> None:
        assert self.files is not None
        token = self.files.admin_token
        wait_until(
            lambda: _ready(self._server_port, self._context(), token),
            "get ready",
            processes=self._processes[:2],
            seconds=READY_SECONDS,
        )

    def _start_once(self) -> None:
        (self._directory / "logs").mkdir(mode=0o700, exist_ok=True)
        etcd_port, peer_port, server_port = ports.free(3)
        self._etcd_port, self._server_port = etcd_port, server_port
        self.server = f"https://{ports.LOOPBACK}:{server_port}"
        directory = self._directory
        self.files, tokens = credentials.create(directory / "credentials", datetime.now(UTC))
        configs = {
            user: self.kubeconfig if user == "admin" else directory / "credentials" / f"{user}.kubeconfig"
            for user in tokens
        }
        for user, path in configs.items():
            credentials.write_private(path, credentials.kubeconfig(self.server, self.files.authority, tokens[user]))

        self._progress("starting etcd")
        etcd = self._run(
            "etcd", self._binaries.etcd, *_etcd_flags(directory / f"etcd-{etcd_port}", etcd_port, peer_port)
        )
        wait_until(lambda: ports.answers(etcd_port), "listen", processes=[etcd], seconds=ETCD_SECONDS)

        self._progress("starting kube-apiserver")
        self._run(
            "kube-apiserver",
            self._binaries.kube_apiserver,
            *_api_server(self.files, etcd_port, server_port),
            *self._audit(),
            *self._api_server_arguments,
        )
        self._wait_for_api_server()

        self._progress("starting kube-controller-manager, kube-scheduler and kwok")
        key = self.files.service_account_key
        self._run(
            "kube-controller-manager",
            self._binaries.kube_controller_manager,
            *_component(configs["controller-manager"]),
            "--controllers=*",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={self.files.authority_pem}",
            "--use-service-account-credentials=false",
        )
        self._run("kube-scheduler", self._binaries.kube_scheduler, *_component(configs["scheduler"]))
        self._run(
            "kwok",
            self._binaries.kwok,
            f"--kubeconfig={configs['kwok']}",
            f"--config={STAGES}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
        )

    def _run(self, name: str, program: Path, *arguments: str) -> Process:
        log = self._directory / "logs" / f"{name}.log"
        process = Process(name, [program, *arguments], log, environment=_without_proxies())
        self._processes.append(process)
        process.start()
        return process

    def _context(self) -> ssl.SSLContext:
        assert self.files is not None
        return ssl.create_default_context(cadata=self.files.authority.certificate_pem.decode())

    def _audit(self) -> tuple[str, ...]:
        if self._audit_log is None:
            return ()
        policy = self._directory / "credentials" / "audit-policy.json"
        credentials.write_private(policy, json.dumps(_AUDIT_POLICY).encode())
        return (f"--audit-policy-file={policy}", f"--audit-log-path={self._audit_log}", "--audit-log-mode=blocking")


def _without_proxies() -> dict[str, str]:
    """Our environment, less the proxies of this machine: the API server would ask them for webhooks' addresses."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _etcd_flags(data: Path, port: int, peer_port: int) -> tuple[str, ...]:
    client, peer = f"http://{ports.LOOPBACK}:{port}", f"http://{ports.LOOPBACK}:{peer_port}"
    return (
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the data need not survive a crash of the machine
        "--log-level=warn",
    )


def _api_server(files: credentials.Files, etcd_port: int, port: int) -> tuple[str, ...]:
    return (
        f"--etcd-servers=http://{ports.LOOPBACK}:{etcd_port}",
        f"--bind-address={ports.LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={files.server_certificate}",
        f"--tls-private-key-file={files.server_key}",
        f"--cert-dir={files.tokens.parent}",
        f"--service-account-key-file={files.service_account_certificate}",
        f"--service-account-signing-key-file={files.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        # The `kubernetes` Service cannot have a loopback address as its endpoint.
        "--endpoint-reconciler-type=none",
        # There is no kube-proxy: a webhook's Service leads straight to the addresses of its EndpointSlices.
        "--enable-aggregator-routing=true",
        "--profiling=false",
    )


def _component(kubeconfig: Path) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    )


def _ready(port: int, context: ssl.SSLContext, token: str) -> bool:
    connection = http.client.HTTPSConnection(ports.LOOPBACK, port, timeout=5, context=context)
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
