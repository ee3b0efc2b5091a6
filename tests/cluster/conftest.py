"""One control plane for all cluster tests, with the real webhook and four pretend nodes, two of them warm."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cluster.pods import IMAGE
from webhook.sandbox.nodes import PretendNode
from webhook.sandbox.sandbox import Sandbox

HERE = Path(__file__).parent
PLENTY = 64
"""GPUs of a node: enough that no test waits for the pods of another to go."""

MakeNamespace = Callable[..., str]


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy directory that the webhook follows."""
    directory = tmp_path_factory.mktemp("policies")
    shutil.copy(HERE / "policies.yaml", directory)
    return directory


@pytest.fixture(scope="session")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API server's audit log."""
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the webhook records, of all tests."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="session")
def box(policies: Path, audit_log: Path, records: Path) -> Iterator[Sandbox]:
    """The running sandbox. Tests leave it as they found it, but for their own namespaces."""
    nodes = [
        PretendNode(
            name=f"gpu-{number}",
            accelerators={"nvidia.com/gpu": PLENTY, "google.com/tpu": PLENTY},
            images={IMAGE: 9_000_000_000} if number <= 2 else {},
            zone="us-west-2a" if number % 2 else "us-west-2b",
            cpu="2000",
            memory="16Ti",
        )
        for number in range(1, 5)
    ]
    recording = ("--record", str(records))
    with Sandbox(policies=policies, nodes=nodes, audit_log=audit_log, webhook_arguments=recording) as sandbox:
        yield sandbox
        sandbox.check()
        complaints = [
            line for line in sandbox.webhook.process.log.read_text().splitlines() if '"level":"error"' in line
        ]
        assert complaints == [], "the webhook failed on a pod; the API server admitted it, so the test saw only less"


@pytest.fixture(scope="module")
def make_namespace(box: Sandbox, request: pytest.FixtureRequest) -> Iterator[MakeNamespace]:
    """Makes namespaces that go with the module; returns the name."""
    made: list[str] = []
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")

    def make(suffix: str, labels: Mapping[str, str] | None = None) -> str:
        name = f"{module}-{suffix}"
        box.make_namespace(name, labels)
        made.append(name)
        return name

    yield make
    for name in made:
        box.api.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def namespace(make_namespace: MakeNamespace) -> str:
    """An ordinary namespace of the module."""
    return make_namespace("main")
