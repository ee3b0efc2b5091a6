"""What `warmpod demo` plays with: the nodes, the Deployment, the policy in two modes, and what came of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webhook.cli import shipped
from webhook.cli.documents import read_file
from webhook.cli.errors import CouldNotRun
from webhook.kube import Object, names
from webhook.kube.workload import pods_of
from webhook.sandbox.nodes import PretendModel, PretendNode

NAMESPACE: Final = "serving"
IMAGE: Final = "vllm/vllm-openai:v0.11.0"
IMAGE_BYTES: Final = 9_800_000_000
MODEL: Final = "s3://acme-models/llama-3.1-8b-instruct/"
MODEL_BYTES: Final = 16_060_000_000
NODES: Final = ("gpu-1", "gpu-2", "gpu-3", "gpu-4")
#: Not the first ones, which a scheduler without a reason might take.
WARM_NODES: Final = ("gpu-2", "gpu-4")
DEPLOYMENT: Final = Path(__file__).with_name("examples") / "vllm.yaml"
APP: Final = "vllm-llama"
_LOG_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen. `before` and `after` are the pod in Audit and in Enforce; `node` is None without a scheduler."""

    api_server: bool
    pod_unchanged: bool
    would_patch: list[Object]
    node: str | None
    patch: list[Object]
    seconds_saved: float
    webhook_milliseconds: float
    before: Object
    after: Object

    @property
    def inventory(self) -> str:
        """Where the webhook knew from what the nodes hold: "controller", or "file" for one made up for the demo."""
        return "controller" if self.api_server else "file"

    @property
    def convincing(self) -> bool:
        """Whether everything went as the policy promises: nothing in Audit, the same thing in Enforce, a warm node."""
        placed = self.node in WARM_NODES if self.api_server else self.node is None
        foretold = _but_for_the_account(self.patch) == _but_for_the_account(self.would_patch)
        return self.pod_unchanged and bool(self.patch) and foretold and placed

    def as_json(self, seconds: float) -> dict[str, Any]:
        """What `--output json` prints; `seconds` is how long the demo took."""
        return {
            "apiServer": self.api_server,
            "seconds": round(seconds, 1),
            "warmNodes": list(WARM_NODES),
            "inventory": self.inventory,
            "audit": {"podUnchanged": self.pod_unchanged, "wouldPatch": self.would_patch},
            "enforce": {
                "node": self.node,
                "patch": self.patch,
                "secondsSaved": self.seconds_saved,
                "webhookMilliseconds": self.webhook_milliseconds,
            },
        }


def _but_for_the_account(operations: list[Object]) -> list[Object]:
    """Operations without the annotation that names the snapshot: a cluster's snapshot changes from second to second."""
    path = f"/metadata/annotations/{names.ANNOTATION_DECISION.replace('/', '~1')}"
    return [operation for operation in operations if operation["path"] != path]


def nodes() -> tuple[PretendNode, ...]:
    """Four GPU nodes in two zones; the warm ones hold the image, and the model for this namespace."""
    return tuple(
        PretendNode(
            name=name,
            images={IMAGE: IMAGE_BYTES} if name in WARM_NODES else {},
            models=(PretendModel(MODEL, NAMESPACE, MODEL_BYTES),) if name in WARM_NODES else (),
            zone="us-west-2a" if number < len(NODES) // 2 else "us-west-2b",
        )
        for number, name in enumerate(NODES)
    )


def policy_file() -> Path:
    """The shipped policy that the demo shows."""
    return shipped.policies() / "vllm-s3-nvme" / "policy.yaml"


def write_policy(directory: Path, mode: str) -> None:
    """Put the shipped policy into `directory` in another mode, as a reader of the directory sees it: whole or not."""
    text = policy_file().read_text(encoding="utf-8").replace("mode: Enforce", f"mode: {mode}")
    aside = directory / ".policy.new"
    aside.write_text(text, encoding="utf-8")
    aside.replace(directory / "policy.yaml")


def pod() -> Object:
    """The pod that the Deployment's controller would make."""
    return next(found.pod for document in read_file(DEPLOYMENT) for found in pods_of(document.content))


def last_decision(log: Path, outcome: str) -> dict[str, Any]:
    """The webhook's last log line about a decision of this outcome in our namespace.

    It is written after the answer is sent, so it is waited for. Raises CouldNotRun when it does not come.
    """
    deadline = time.monotonic() + _LOG_SECONDS
    while not (found := _logged(log, outcome)):
        if time.monotonic() > deadline:
            raise CouldNotRun(f"{log}: the webhook logged no decision {outcome!r} in {_LOG_SECONDS:.0f} s")
        time.sleep(0.05)
    return found


def _logged(log: Path, outcome: str) -> dict[str, Any]:
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and (entry.get("namespace"), entry.get("outcome")) == (NAMESPACE, outcome):
            return entry
    return {}
