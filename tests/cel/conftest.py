from collections.abc import Callable
from typing import Any

import pytest

from webhook.cel import ENGINES, Activation, Bindings, Environment, environment

POD = {
    "metadata": {"name": "vllm-0", "labels": {"app": "vllm", "team/name": "search"}, "uid": None},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model", "s3://models/llama"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"limits": {"nvidia.com/gpu": "8", "memory": "64Gi"}},
            },
            {"name": "sidecar", "image": "envoy", "resources": {}},
        ],
        "priority": 7,
        "ratio": 1.5,
        "flag": True,
    },
}


class Warm:
    """An inventory of four nodes."""

    nodes = 4
    usable = True

    def warm_nodes(self, name: str) -> int:
        return {"s3://models/llama": 2, "vllm/vllm-openai:v0.11.0": 3}.get(name, 0)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Environment:
    return environment(request.param)


@pytest.fixture
def native() -> Environment:
    return environment("cel-expr-python")


@pytest.fixture
def pure() -> Environment:
    return environment("cel-python")


@pytest.fixture
def activation() -> Activation:
    return Activation(
        Bindings(
            object=POD,
            request={"namespace": "default", "operation": "CREATE", "object": POD, "oldObject": None},
            variables={"bucket": "s3://models", "list": list(range(200)), "none": None, "map": {"a": 1}},
            inventory=Warm(),
        )
    )


@pytest.fixture
def bound() -> Callable[..., Activation]:
    """Make an activation of these variables."""

    def make(**bindings: Any) -> Activation:
        return Activation(Bindings(**bindings))

    return make
