"""One control plane for all drills, with two replicas of Warmpod behind the Service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.drills.fleet import DRAIN_SECONDS, SETTLE_SECONDS, Fleet
from tests.cluster.pods import IMAGE
from webhook.sandbox import install
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox

WEBHOOK_ARGUMENTS = (
    "--host=0.0.0.0",  # the URL of the sandbox leads to loopback, the Service to another address
    "--reload-seconds=0.1",
    f"--drain-seconds={DRAIN_SECONDS}",
)
CONTROLLER_ARGUMENTS = (
    "--certificate-seconds=0.1",
    f"--tls-settle-seconds={SETTLE_SECONDS}",
    "--tls-overlap-seconds=0.2",
    "--manage-webhook",
)


@pytest.fixture(scope="session")
def drill_policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy directory of the drills' webhooks."""
    directory = tmp_path_factory.mktemp("drill-policies")
    shutil.copy(Path(__file__).parents[1] / "policies.yaml", directory)
    return directory


@pytest.fixture(scope="session")
def drill_box(drill_policies: Path) -> Iterator[Sandbox]:
    """The running sandbox."""
    nodes = [
        PretendNode(name=f"gpu-{number}", images={IMAGE: 9_000_000_000} if number == 1 else {}) for number in (1, 2)
    ]
    with Sandbox(
        policies=drill_policies,
        nodes=nodes,
        replicas=2,
        webhook_arguments=WEBHOOK_ARGUMENTS,
        controller_arguments=CONTROLLER_ARGUMENTS,
    ) as sandbox:
        component = install.manifests_directory() / "components" / "manage-webhook"
        sandbox.kubectl("apply", "-f", component / "rbac.yaml")  # what --manage-webhook needs
        yield sandbox


@pytest.fixture(scope="session")
def fleet(drill_box: Sandbox) -> Iterator[Fleet]:
    """The sandbox's replicas behind the Service. Every drill leaves two of them in order."""
    with Fleet(drill_box) as made:
        yield made
        drill_box.check()


@pytest.fixture(scope="session")
def crowded(drill_box: Sandbox) -> str:
    """The namespace that the drills' pods are created in."""
    drill_box.make_namespace("drills")
    return "drills"
