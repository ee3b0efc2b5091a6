"""The Secret that holds the state of rotation: read, damaged, and asked to rotate as people do it."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Mapping

from cryptography import x509

from tests.cluster import pods
from tests.cluster.drills import registration
from tests.cluster.drills.fleet import Fleet
from tests.cluster.drills.handshakes import handshake
from webhook.kube import names
from webhook.sandbox.api import RefusedRequest
from webhook.sandbox.sandbox import Sandbox

_PATH = f"/api/v1/namespaces/{names.SYSTEM_NAMESPACE}/secrets/{names.TLS_SECRET}"


def read(box: Sandbox) -> dict[str, bytes]:
    """What it holds; nothing when it is not there."""
    try:
        found = box.api.call("GET", _PATH)
    except RefusedRequest as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        return {}
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


def write(box: Sandbox, content: Mapping[str, bytes]) -> None:
    """Put these keys in place of what they hold."""
    box.api.patch(_PATH, {"data": {key: base64.b64encode(value).decode() for key, value in content.items()}})


def delete(box: Sandbox) -> None:
    """Delete it."""
    box.api.call("DELETE", _PATH)


def ask(box: Sandbox, what: str) -> None:
    """Ask for a rotation of the "leaf" or the "authority"."""
    box.api.patch(_PATH, {"metadata": {"annotations": {names.ANNOTATION_ROTATE: what}}})


def serial(certificate: bytes) -> str:
    """The serial of a PEM certificate, in hex."""
    return format(x509.load_pem_x509_certificate(certificate).serial_number, "x")


def served(fleet: Fleet) -> set[str]:
    """The serials that the replicas serve, to whom trusts the registration. Raises OSError when a handshake fails."""
    trusted = registration.bundle(registration.read(fleet.box))
    return {handshake(fleet.address, each.webhook.port, trusted) for each in fleet.replicas}


def wait_until_served(fleet: Fleet, *, other_than: str = "", seconds: float = 90.0) -> str:
    """Return when every replica serves the leaf of the Secret, which is another one than was said; its serial."""

    def look() -> str | None:
        found = read(fleet.box).get("tls.crt")
        if found is None or serial(found) == other_than:
            return None
        try:
            return serial(found) if served(fleet) == {serial(found)} else None
        except OSError:
            return None

    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"the replicas do not serve the leaf of the Secret within {seconds:g} s"
        time.sleep(0.05)
    return found


def wait_until_at_rest(fleet: Fleet) -> None:
    """Return when no rotation is under way, and the registration trusts the one authority that there is."""

    def at_rest() -> bool:
        found = read(fleet.box)
        trusted = registration.bundle(registration.read(fleet.box))
        return not found.keys() & {"next-ca.crt", "old-ca.crt"} and trusted.strip() == found["ca.crt"].strip()

    pods.eventually(at_rest, "end of the rotation")
