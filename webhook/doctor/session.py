"""Requests whose answers are read whole: status, text and warnings. The API server's errors are answers here, too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook.sources.kube_api import ApiFailure, KubeApi
from webhook.sources.kube_api.failure import shown

SECONDS = 15.0
"""How long an answer may take. A pod that two webhooks leave hanging takes as long as both timeouts."""

MAX_BYTES = 64 * 1024 * 1024
"""Of an answer. The metrics of an API server with thousands of resources have some 20 MB."""

_WARNING = re.compile(r'\b[0-9]{3} \S+ "((?:[^"\\]|\\.)*)"')
"""RFC 7234, 5.5: code, agent, quoted text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever the status."""

    status: int
    text: str
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The API server's own words where the answer is one of its `Status` objects, else the text's beginning."""
        found = self.document
        return shown(str(found.get("message") or "")) if found.get("kind") == "Status" else shown(self.text)

    @property
    def document(self) -> Mapping[str, Any]:
        """The answer as JSON; empty when it is none."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `what` says what it is for, to follow after "cannot"."""

    what: str
    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    seconds: float = SECONDS


async def send(api: KubeApi, call: Call) -> Answer:
    """Make a request and return what was answered. Raises ApiFailure when nothing was."""
    import aiohttp  # noqa: PLC0415 - a tenth of a second that `--help` does not need

    limit = aiohttp.ClientTimeout(total=call.seconds)
    try:
        response = await api.transport.send(call, limit)
        try:
            data = await response.content.read(MAX_BYTES) if call.accept == "*/*" else await response.read()
            while call.accept == "*/*" and len(data) < MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                data += more
        finally:
            response.close()
    except TimeoutError as error:
        raise ApiFailure(call.what, "timeout", f"no answer within {call.seconds:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ApiFailure(call.what, "unreachable", shown(str(error)) or type(error).__name__) from error
    return Answer(response.status, data.decode("utf-8", "replace"), warnings_of(response.headers.getall("Warning", [])))


def warnings_of(headers: Sequence[str]) -> tuple[str, ...]:
    """The texts of `Warning:` headers; whatever else is in them is passed over."""
    return tuple(re.sub(r"\\(.)", r"\1", text) for one in headers for text in _WARNING.findall(one))
