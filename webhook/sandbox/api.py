"""Calls to the sandbox's API server with plain objects, over the `kubernetes` client's connections and credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook.kube import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT_SECONDS = 30.0
_PATHS = {each: f"/api/v1/{each}" for each in ("nodes", "pods", "namespaces", "persistentvolumes")}


class RefusedRequest(OSError):
    """The API server answered with an error. `status` is HTTP's; the text has the server's own message."""

    def __init__(self, status: int, method: str, path: str, message: str) -> None:
        super().__init__(f"{method} {path}: HTTP {status}: {message}")
        self.status = status


class Api:
    """The API of one kubeconfig. Safe to use from several threads. Every failure is an OSError."""

    def __init__(self, kubeconfig: Path) -> None:
        # The client takes a second to import: too long for `warmpod --help`, free while the API server starts.
        from kubernetes import client, config  # noqa: PLC0415

        configuration = client.Configuration()
        load: Any = config.load_kube_config  # the library leaves it untyped
        load(str(kubeconfig), client_configuration=configuration)
        configuration.proxy = None  # loopback is behind no proxy, whatever HTTPS_PROXY says
        configuration.retries = False
        self.client: ApiClient = client.ApiClient(configuration)

    def close(self) -> None:
        """Close the connections."""
        self.client.rest_client.close()

    def call(self, method: str, path: str, body: Object | None = None, /, **query: str) -> Object:
        """One request; returns the decoded answer. Raises `RefusedRequest` for an error of the API server."""
        return self._send(method, path, body, "application/json", query)

    def exists(self, path: str) -> bool:
        """Whether there is an object, as far as the API server says."""
        with suppress(RefusedRequest):
            self.call("GET", path)
            return True
        return False

    def patch(self, path: str, body: Object, /, **query: str) -> Object:
        """Patch an object: members of `body` replace those of the object, null removes (RFC 7386)."""
        return self._send("PATCH", path, body, "application/merge-patch+json", query)

    def apply(self, path: str, body: Object, manager: str, /, **query: str) -> Object:
        """Server-side apply as this field manager. HTTP 409 tells of fields that others manage."""
        # To the client, a body that is not for JSON is text; JSON is YAML.
        text = json.dumps(body)
        return self._send("PATCH", path, text, "application/apply-patch+yaml", {"fieldManager": manager, **query})

    def _send(
        self, method: str, path: str, body: Object | str | None, content: str, query: Mapping[str, str]
    ) -> Object:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - see __init__

        headers = {"Accept": "application/json", "Content-Type": content}
        parameters = self.client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self.client.call_api(*parameters, _request_timeout=TIMEOUT_SECONDS)
            raw: Any = response  # its `read` is untyped, too
            answer = _decoded(raw.read())
        except HTTPError as error:
            raise ConnectionError(f"{method} {path}: {error}") from error
        if response.status >= 400:
            raise RefusedRequest(response.status, method, path, str(answer.get("message", response.reason)))
        return answer

    def list(self, resource: str) -> list[Object]:
        """All "nodes", "pods", "namespaces" or "persistentvolumes" of the cluster."""
        items = self.call("GET", _PATHS[resource]).get("items") or []
        return [item for item in items if isinstance(item, dict)]


def _decoded(data: bytes) -> Object:
    try:
        found: Any = json.loads(data)
    except ValueError:
        return {"message": data[:200].decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"message": repr(found)[:200]}
