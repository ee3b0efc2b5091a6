"""The plain port: `/livez`, `/readyz`, `/metrics`, and `/status` for the process beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp


class Check(NamedTuple):
    """One line of `/readyz?verbose`. A failing one that is `required` takes the pod out of its Service."""

    name: str
    passes: bool
    detail: str
    required: bool = True


class Exposed(Protocol):
    """What `/metrics` answers from."""

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        ...


def is_ready(checks: Sequence[Check]) -> bool:
    """Whether the kubelet should call this process ready."""
    return all(check.passes or not check.required for check in checks)


def create_app(
    checks: Callable[[], Sequence[Check]], metrics: Exposed, status: Callable[[], dict[str, Any]] | None = None
) -> ASGIApp:
    """The routes of the plain port; `/status` (JSON) where there is a `status` to tell."""

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")  # the event loop that does the work answered this

    async def readyz(request: Request) -> Response:
        found = checks()
        ready = is_ready(found)
        if "verbose" in request.query_params:
            text = "".join(f"{_mark(check)} {check.name}: {check.detail}\n" for check in found)
            text += "ready\n" if ready else "not ready\n"
        elif ready:
            text = "ok\n"
        else:
            failing = [check for check in found if check.required and not check.passes]
            text = "".join(f"not ready: {check.name}: {check.detail}\n" for check in failing)
        return PlainTextResponse(text, 200 if ready else 503)

    async def scrape(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", scrape)]
    if status is not None:

        async def tell(_request: Request) -> Response:
            return Response(msgspec.json.encode(status()), media_type="application/json")

        routes.append(Route("/status", tell))
    return Starlette(routes=routes)


def _mark(check: Check) -> str:
    if check.passes:
        return "[+]"
    return "[-]" if check.required else "[!]"
