"""A cluster that comes up with our registration in place and nobody behind it: what it needs never waits for us."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import pods
from tests.cluster.drills import calls
from tests.cluster.drills.conftest import CONTROLLER_ARGUMENTS, WEBHOOK_ARGUMENTS
from tests.cluster.drills.crowd import COLD, WARM, look
from tests.cluster.drills.fleet import own_address
from tests.cluster.drills.kubelet import Kubelet
from webhook.kube import names
from webhook.sandbox import install
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox

pytestmark = pytest.mark.cluster

_DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.SYSTEM_NAMESPACE}/deployments/{names.DEPLOYMENT}"


@pytest.fixture(scope="module")
def bare_box(drill_policies: Path) -> Iterator[Sandbox]:
    """Everything of the manifests is applied, and no webhook runs."""
    with Sandbox(
        policies=drill_policies,
        nodes=[PretendNode(name="gpu-1")],
        replicas=0,
        webhook_arguments=WEBHOOK_ARGUMENTS,
        controller_arguments=CONTROLLER_ARGUMENTS,
    ) as sandbox:
        install.apply(sandbox.api, [each for each in install.rendered(sandbox.binaries.kubectl) if "webhooks" in each])
        yield sandbox


def test_bootstrap_from_zero(bare_box: Sandbox) -> None:
    box = bare_box
    address = own_address()
    restricted = pods.container(securityContext=pods.RESTRICTED)
    with Kubelet(box, address) as kubelet:
        # The API server has read the registration once a pod of others failed open.
        pods.eventually(
            lambda: (
                look(pods.create(box, "default", pods.pod("first"), dryRun="All")) == COLD
                and calls.read(box).failed_open
            ),
            "call of a webhook that is not there",
        )
        before = calls.read(box)
        for namespace in ("kube-system", "kube-node-lease", names.SYSTEM_NAMESPACE):
            stored = pods.create(box, namespace, pods.pod("needed", containers=[restricted], **pods.NOBODY))
            assert look(stored) == COLD
        # Our own pods, by the Deployment that would start us.
        box.api.patch(_DEPLOYMENT, {"spec": {"replicas": 2}})
        pods.eventually(lambda: box.api.call("GET", _DEPLOYMENT)["status"].get("readyReplicas") == 2, "pods of our own")
        assert calls.read(box) == before, "the API server called us for a pod that must not depend on us"

        assert look(pods.create(box, "default", pods.pod("others", **pods.NOBODY))) == COLD
        found = calls.read(box) - before
        assert (found.made, found.failed_open, found.rejected) == (1, 1, 0)

        first = box.add_replica("first", host=address)
        kubelet.watch(first)
        pods.eventually(
            lambda: look(pods.create(box, "default", pods.pod("warm"), dryRun="All")) == WARM, "pod that is warm"
        )
