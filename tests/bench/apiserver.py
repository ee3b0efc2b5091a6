"""What a webhook adds to the creation of a pod, seen from a client of a real API server.

Three namespaces: one that no webhook sees, one for the floor with a patch made beforehand, one for ours. Pods are
created in turn in each, over one connection, and each round's medians are compared. Both webhooks are registered alike
(`IfNeeded`, no matchConditions) and the floor answers exactly the patch that ours makes for this pod, so the API
server's own work is the same; adding an init container makes it call both a second time.

Needs the control plane's programs (see docs/sandbox.md); nothing is scheduled, so that scheduling does not disturb.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import client, load, report, reviews, servers
from tests.bench.servers import Server
from webhook.kube import names
from webhook.sandbox import binaries
from webhook.sandbox.cluster import ControlPlane

NONE, FLOOR = "none", "floor"
# The snapshot's models belong to this namespace, so it is ours.
OURS = "serving"
TARGET = 1.3
WARM_UP = 20
ACCOUNT_SECONDS = 60.0

Object = dict[str, Any]


class Refused(Exception):
    """The API server answered with an error; the text has it."""


class Api:
    """The API server over one kept-alive connection, as its administrator."""

    def __init__(self, address: str, context: ssl.SSLContext, token: str) -> None:
        host, _, port = address.removeprefix("https://").partition(":")
        self._connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer's body. Refused for any status from 400 on."""
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {content.decode(errors='replace')[:1000]}")
        return content

    def create(self, path: str, document: Object) -> None:
        """POST a document."""
        self.call("POST", path, json.dumps(document).encode())


@dataclass(frozen=True, slots=True)
class Round:
    """Median milliseconds of a creation in each namespace."""

    none: float
    floor: float
    ours: float

    @property
    def added_by_floor(self) -> float:
        """Milliseconds."""
        return self.floor - self.none

    @property
    def added_by_ours(self) -> float:
        """Milliseconds."""
        return self.ours - self.none


def prepare(api: Api, registered: dict[str, Server], authority: bytes) -> None:
    """Make the namespaces, register each server for its own, and wait until pods can be made."""
    for namespace in (NONE, *registered):
        metadata = {"name": namespace, "labels": {names.LABEL_POD_SECURITY_ENFORCE: "privileged"}}
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    for namespace, server in registered.items():
        api.create(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            _registration(namespace, f"https://127.0.0.1:{server.port}/mutate", authority),
        )
    for namespace in (NONE, *registered):
        _await(lambda namespace=namespace: _has_account(api, namespace))  # type: ignore[misc]  # the bound default


def pod() -> Object:
    """The pod that is created again and again; no scheduler takes it."""
    sent = copy.deepcopy(reviews.manifest(_shape()))
    del sent["metadata"]["name"], sent["metadata"]["namespace"]
    sent["metadata"]["generateName"] = "bench-"
    sent["spec"]["schedulerName"] = "nobody"
    return sent


def measure(rounds: int, count: int) -> report.Report:
    """`rounds` times `count` creations in each of the three namespaces, in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="warmpod-bench-") as directory,
        servers.workplace() as place,
        servers.warmpod(place, "ours") as ours,
    ):
        review = json.dumps(reviews.review(reviews.admitted(_shape()), OURS)).encode()
        answer = client.closed_loop(ours.port, [review], connections=1, count=1).answers[0]
        patch = json.loads(base64.b64decode(json.loads(answer)["response"]["patch"]))
        with servers.floor(place, patch) as floor:
            plane = ControlPlane(binaries.find(), Path(directory), progress=report.progress)
            plane.start()
            try:
                assert plane.files is not None
                authority = plane.files.authority.certificate_pem.decode()
                api = Api(plane.server, ssl.create_default_context(cadata=authority), plane.files.admin_token)
                prepare(api, {FLOOR: floor, OURS: ours}, place.authority.certificate_pem)
                same_outcome(api)
                return _report([_round(api, number, count) for number in range(rounds)])
            finally:
                plane.stop()


def same_outcome(api: Api) -> None:
    """Raise WrongAnswer unless the pod comes out the same from both webhooks, and changed."""
    specs = {}
    for namespace in (NONE, FLOOR, OURS):
        path = f"/api/v1/namespaces/{namespace}/pods"
        stored = json.loads(api.call("POST", path, json.dumps(pod()).encode()))
        token = next(v["name"] for v in stored["spec"]["volumes"] if v["name"].startswith("kube-api-access-"))
        specs[namespace] = json.dumps(stored["spec"], sort_keys=True).replace(token, "token")
    if specs[FLOOR] != specs[OURS] or specs[OURS] == specs[NONE]:
        raise load.WrongAnswer(f"pods differ\nfloor: {specs[FLOOR]}\nours: {specs[OURS]}\nnone: {specs[NONE]}")


def _round(api: Api, number: int, count: int) -> Round:
    report.progress(f"round {number + 1}")
    body = json.dumps(pod()).encode()
    namespaces = [NONE, FLOOR, OURS]
    taken: dict[str, list[float]] = {namespace: [] for namespace in namespaces}
    for turn in range(count + WARM_UP):
        for namespace in namespaces[turn % 3 :] + namespaces[: turn % 3]:
            started = time.perf_counter()
            api.call("POST", f"/api/v1/namespaces/{namespace}/pods", body)
            taken[namespace].append((time.perf_counter() - started) * 1000)
    for namespace in namespaces:
        api.call("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")
    return Round(*(statistics.median(taken[namespace][WARM_UP:]) for namespace in namespaces))


def _shape() -> reviews.Shape:
    return next(shape for shape in reviews.SHAPES if shape.name == "vllm-llama")


def _registration(namespace: str, url: str, authority: bytes) -> Object:
    hook = {
        "name": f"{namespace}.bench.{names.DOMAIN}",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
        "namespaceSelector": {"matchLabels": {names.LABEL_NAMESPACE_NAME: namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        # A webhook that fails here must be seen, not be passed over quickly.
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"bench-{namespace}"},
        "webhooks": [hook],
    }


def _has_account(api: Api, namespace: str) -> bool:
    try:
        api.call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", json.dumps(pod()).encode())
    except Refused as refusal:
        if "serviceaccount" not in str(refusal):
            raise
        return False
    return True


def _await(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ACCOUNT_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise Refused(f"no default service account after {ACCOUNT_SECONDS:.0f} s")
        time.sleep(0.2)


def _report(rounds: list[Round]) -> report.Report:
    rows = [
        {
            "round": str(number),
            "none p50 ms": each.none,
            "floor p50 ms": each.floor,
            "ours p50 ms": each.ours,
            "floor adds": each.added_by_floor,
            "ours adds": each.added_by_ours,
            "ratio": each.added_by_ours / each.added_by_floor,
        }
        for number, each in enumerate(rounds, 1)
    ]
    ratio = statistics.median(each.added_by_ours / each.added_by_floor for each in rounds)
    verdict = report.Verdict("time ours adds to a creation against the floor's", ratio, TARGET, "x")
    return report.Report("apiserver", [report.Table("creation of a pod", rows)], [verdict])


def main() -> None:
    """Measure and report."""
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pods", type=int, default=100, help="creations in each namespace and round")
    asked = parser.parse_args()
    report.show(measure(asked.rounds, asked.pods), asked.output)


if __name__ == "__main__":
    main()
