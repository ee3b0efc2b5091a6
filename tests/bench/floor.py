"""The floor: the least that a Python webhook can be. What Warmpod costs beyond it is what Warmpod adds.

Starlette and uvicorn (one worker, uvloop, httptools) over TLS, one condition in the C++ CEL engine, and one patch that
was made by hand beforehand. No policies, no reload, no metrics, no logging: headroom, not a product.

The benchmarks start it themselves; by hand: `.venv/bin/python tests/bench/floor.py --port 8443 --certificate tls.crt
--key tls.key --patch patch.json`.
"""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

import msgspec
import uvicorn
from cel_expr_python import cel  # type: ignore[import-untyped]  # has stubs but no py.typed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# The second half keeps a pod that comes round again (reinvocation) from getting the same patch twice.
CONDITION = (
    "object.spec.containers.exists(c, has(c.resources.limits) && 'nvidia.com/gpu' in c.resources.limits) && "
    "!(has(object.spec.initContainers) && object.spec.initContainers.exists(c, c.name == 'warmpod-hydrate'))"
)


def application(patch: bytes) -> Starlette:
    """A webhook that answers every pod that asks for an NVIDIA GPU with these bytes of JSON Patch, others with none."""
    environment = cel.NewEnv(variables={"object": cel.Type.DYN})
    condition = environment.compile(CONDITION)
    ready = base64.b64encode(patch).decode()
    decode = msgspec.json.Decoder().decode
    encode = msgspec.json.Encoder().encode

    async def mutate(request: Request) -> Response:
        asked = decode(await request.body())["request"]
        answer = {"uid": asked["uid"], "allowed": True}
        if condition.eval(environment.Activation({"object": asked["object"]})).value():
            answer |= {"patchType": "JSONPatch", "patch": ready}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        return Response(encode(review), media_type="application/json")

    return Starlette(routes=[Route("/mutate", mutate, methods=["POST"])])


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="The floor server of the benchmarks.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--patch", type=Path, required=True, help="JSON Patch to answer with")
    asked = parser.parse_args()
    uvicorn.run(
        application(asked.patch.read_bytes()),
        host="127.0.0.1",
        port=asked.port,
        ssl_certfile=asked.certificate,
        ssl_keyfile=asked.key,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=120,
    )


if __name__ == "__main__":
    main()
