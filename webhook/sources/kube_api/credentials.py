"""Where the API server is and who we are there: a pod's service account, or a user's kubeconfig."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a pod's `token` and `ca.crt`."""

TOKEN_SECONDS = 60.0
"""How old a token file's content may get. The kubelet replaces it long before the token expires; client-go, too, reads
it once a minute."""

EXEC_SECONDS = 60.0
"""How long an exec plugin may take: it may ask a far-away service, it may not wait for a person."""

_REAP_SECONDS = 2.0

_SKEW_SECONDS = 60.0
"""An exec plugin's credentials are renewed this long before they expire."""


class NoCluster(Exception):
    """There is no Kubernetes API to talk to; the text says what was looked for, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A `kubernetes.aio.client.Configuration` filled in, and for how many seconds it is good; None for no limit."""

    configuration: Any
    seconds: float | None


class Credentials(Protocol):
    """Something that fills in the library's configuration, as often as wished."""

    def __str__(self) -> str:
        """Where they come from, for messages."""

    async def load(self) -> Loaded:
        """Read everything anew. Raises `NoCluster`."""


def find(kubeconfig: Path | None, context: str | None, environ: Mapping[str, str] = os.environ) -> Credentials:
    """The service account of this pod, when nothing else is named; else the kubeconfig. Raises `NoCluster`.

    The user's kubeconfig is that of KUBECONFIG (several, separated by colons, are merged), else ~/.kube/config.
    """
    if kubeconfig is not None:
        return Kubeconfig(str(kubeconfig), context)
    host = environ.get("KUBERNETES_SERVICE_HOST")
    token = SERVICE_ACCOUNT / "token"
    if context is None and host and token.exists():
        return ServiceAccount(SERVICE_ACCOUNT, host, environ.get("KUBERNETES_SERVICE_PORT") or "443")
    named = environ.get("KUBECONFIG")
    path = named or str(Path.home() / ".kube" / "config")
    if named or Path(path).exists():
        return Kubeconfig(path, context)
    reason = "KUBERNETES_SERVICE_HOST is not set" if not host else f"{token} is missing"
    raise NoCluster(
        f"no cluster to talk to: this is no pod with a service account ({reason}), and there is no kubeconfig at "
        f"{path}. In a pod, set automountServiceAccountToken: true; elsewhere, name one with --kubeconfig FILE"
    )


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A pod's own account. Its token and certificate authority are files that the kubelet keeps up to date."""

    directory: Path
    host: str
    port: str

    def __str__(self) -> str:
        return f"the service account in {self.directory}"

    async def load(self) -> Loaded:
        """Read the files anew. Raises `NoCluster`."""
        # Not the library's loader: it leaves a newline at the end of the token, which no HTTP header can hold, and
        # fails requests for as long as the file cannot be read.
        from kubernetes.aio.client import Configuration  # noqa: PLC0415 - takes a second to import

        token = _text(self.directory / "token")
        authority = self.directory / "ca.crt"
        _text(authority)
        configuration = Configuration()
        host = f"[{self.host}]" if ":" in self.host else self.host
        configuration.host = f"https://{host}:{self.port}"
        configuration.ssl_ca_cert = str(authority)
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        return Loaded(configuration, TOKEN_SECONDS)


class Kubeconfig:
    """A user of a kubeconfig: token, token file, client certificate or exec plugin.

    `path` may name several files, separated by colons. Without `context`, the current one is taken at first and kept:
    whoever switches contexts in a terminal does not move a running process to another cluster.
    """

    def __init__(self, path: str, context: str | None) -> None:
        self._path = path
        self._context = context

    def __str__(self) -> str:
        return f"kubeconfig {self._path}" + (f", context {self._context}" if self._context else "")

    async def load(self) -> Loaded:
        """Read the files anew and run the exec plugin, if there is one. Raises `NoCluster`."""
        from kubernetes.aio.client import Configuration  # noqa: PLC0415 - takes a second to import
        from kubernetes.aio.config import load_kube_config  # noqa: PLC0415 - the same

        paths = _existing(self._path)
        if not paths:
            raise NoCluster(f"there is no kubeconfig at {self._path}; name one with --kubeconfig FILE")
        load: Any = load_kube_config  # the library leaves it untyped
        configuration = Configuration()
        before = _children()
        try:
            with _complaints() as complaints:
                async with asyncio.timeout(EXEC_SECONDS):
                    loader = await load(os.pathsep.join(paths), self._context, configuration, persist_config=False)
        except TimeoutError:
            await _kill(_children() - before)
            raise NoCluster(
                f"{self} cannot be used: its exec plugin did not finish within {EXEC_SECONDS:g} s. Does it wait for a "
                "login? Run `kubectl get nodes` with this kubeconfig to see"
            ) from None
        # The library checks nothing before it looks into the documents: any of its own mistakes may come out.
        except Exception as error:
            raise NoCluster(
                f"{self} cannot be used: {str(error) or type(error).__name__}. Does `kubectl get nodes` work with it?"
            ) from error
        token = configuration.api_key.get("BearerToken")
        if complaints and not token and not configuration.cert_file:
            raise NoCluster(f"{self} cannot be used: {complaints[-1]}. Does `kubectl get nodes` work with it?")
        if token:
            configuration.api_key["BearerToken"] = token.strip()  # of a tokenFile, with its newline
        self._context = self._context or loader.current_context["name"]
        expiry = getattr(loader, "exec_plugin_expiry", None)
        return Loaded(configuration, None if expiry is None else _seconds_until(expiry))


def _existing(paths: str) -> list[str]:
    found = (Path(path).expanduser() for path in paths.split(os.pathsep) if path)
    return [str(path) for path in found if path.exists()]


def _children() -> set[int]:
    """The processes that this one started and that are still there."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):  # it ended while we looked
            if int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
    return found


async def _kill(plugins: set[int]) -> None:
    """End exec plugins that hang: the library starts them, keeps them to itself, and does not end them.

    Returns when they are gone; the next try would start another one beside them.
    """
    for plugin in plugins:
        with suppress(ProcessLookupError):
            os.kill(plugin, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_REAP_SECONDS):
            while plugins & _children():  # noqa: ASYNC110  nothing tells of a process that the library started
                await asyncio.sleep(0.02)


def _seconds_until(expiry: datetime) -> float:
    # A plugin that hands out what has expired is asked again now and then, not before each request.
    return max(10.0, (expiry - datetime.now(UTC)).total_seconds() - _SKEW_SECONDS)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise NoCluster(f"{path} cannot be read: {error}. The kubelet writes it; is it mounted?") from error
    if not text:
        raise NoCluster(f"{path} is empty. The kubelet writes it; look at the pod's events")
    return text


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what the library says of an exec plugin that failed: it logs that, and goes on without credentials."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("kubernetes.aio.config.kube_config")
    listener, propagate = Listener(logging.ERROR), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate
