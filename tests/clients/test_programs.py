"""Which clients a container runs: what its command or image says for certain, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.clients.catalogue import catalogue
from webhook.clients.programs import clients_of


@pytest.mark.parametrize(
    ("container", "client"),
    [
        ({"image": "vllm/vllm-openai:v0.11.0"}, "vllm"),
        ({"image": "mirror.example:5000/ml/vllm-openai@sha256:abc"}, "vllm"),
        ({"image": "x", "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"]}, "vllm"),
        ({"image": "x", "command": ["vllm", "serve"]}, "vllm"),
        ({"image": "x", "command": ["/usr/bin/python3.12"], "args": ["-m", "sglang.launch_server"]}, "sglang"),
        ({"image": "lmsysorg/sglang:latest"}, "sglang"),
        ({"image": "nvcr.io/nvidia/tritonserver:26.09-py3"}, "triton-server"),
        ({"image": "nvcr.io/nvidia/tritonserver:26.09-vllm-python-py3"}, "vllm"),
        ({"image": "nvcr.io/nvidia/tritonserver:26.09-py3", "command": ["tritonserver"]}, "triton-server"),
        ({"image": "public.ecr.aws/aws-cli/aws-cli:2.38.1"}, "aws-cli"),
        ({"image": "x", "command": ["/usr/local/bin/aws", "s3", "sync"]}, "aws-cli"),
        ({"image": "peakcom/s5cmd:v2.3.0"}, "s5cmd"),
        ({"image": "rclone/rclone"}, "rclone"),
        ({"image": "kserve/storage-initializer:v0.17.0"}, "kserve-storage"),
    ],
)
def test_what_is_certain(container: dict[str, Any], client: str) -> None:
    found = clients_of(container)
    assert found is not None
    assert client in found
    assert found == catalogue().whole(found)


@pytest.mark.parametrize(
    "container",
    [
        {"image": "nvcr.io/nvidia/pytorch:26.09-py3"},
        {"image": "rayproject/ray:2.50.0"},
        {"image": "registry.example/vllm-openai-with-tools:1/other:2"},
        {"image": "vllm/vllm-openai:v0.11.0", "command": ["sh", "-c", "aws s3 cp s3://x . && vllm serve"]},
        {"image": "vllm/vllm-openai:v0.11.0", "command": ["python3", "serve.py"]},
        {"image": "registry.example/my-server:1", "command": ["tritonserver"]},
        {},
        {"image": 7, "command": "aws", "args": [None]},
        {"image": None, "command": [None, 3]},
    ],
)
def test_what_is_not_certain_is_not_said(container: dict[str, Any]) -> None:
    assert clients_of(container) is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3))


@given(st.dictionaries(st.sampled_from(["image", "command", "args"]), JSON))
def test_no_container_is_too_odd(container: dict[str, Any]) -> None:
    assert clients_of(container) is None or clients_of(container)
