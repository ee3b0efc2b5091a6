"""What reads the weights, by command line and image."""

from __future__ import annotations

import pytest

from tests import builders
from webhook.cost.volume import Reader
from webhook.mutate.reader import reader_of

TRITON = "nvcr.io/nvidia/tritonserver"


@pytest.mark.parametrize(
    ("image", "args", "expected"),
    [
        pytest.param(builders.IMAGE, [], Reader.SAFETENSORS, id="vLLM as it comes"),
        pytest.param(builders.IMAGE, ["--load-format", "auto"], Reader.SAFETENSORS, id="vLLM told what it does anyway"),
        pytest.param(builders.IMAGE, ["--load-format=runai_streamer"], Reader.STREAMER, id="a streamer"),
        pytest.param(builders.IMAGE, ["--load-format", "runai_streamer_sharded"], Reader.STREAMER, id="a sharded one"),
        pytest.param("mine/server:1", ["--load-format", "runai_streamer"], Reader.STREAMER, id="in any image"),
        pytest.param("mine/server:1", ["--load-format", "safetensors"], Reader.SAFETENSORS, id="stock in any image"),
        pytest.param(builders.IMAGE, ["--load-format", "tensorizer"], Reader.UNKNOWN, id="a loader of its own"),
        pytest.param(builders.IMAGE, ["--load-format", "$(FORMAT)"], Reader.UNKNOWN, id="a variable nobody set"),
        pytest.param(builders.IMAGE, ["--load-format"], Reader.SAFETENSORS, id="a flag without its value"),
        pytest.param(
            builders.IMAGE, ["--safetensors-load-strategy", "eager"], Reader.PREFETCH, id="vLLM told not to map"
        ),
        pytest.param(
            builders.IMAGE, ["--safetensors-load-strategy", "lazy"], Reader.SAFETENSORS, id="vLLM told to map"
        ),
        pytest.param(
            "lmsysorg/sglang:v0.5", ["--weight-loader-disable-mmap"], Reader.PREFETCH, id="SGLang told not to map"
        ),
        pytest.param("lmsysorg/sglang:v0.5", [], Reader.SAFETENSORS, id="SGLang"),
        pytest.param(
            builders.IMAGE,
            ["--load-format=runai_streamer", "--safetensors-load-strategy=eager"],
            Reader.STREAMER,
            id="a streamer reads no safetensors of the stock loader",
        ),
        pytest.param(f"{TRITON}:25.02-py3", [], Reader.TRITON, id="Triton"),
        pytest.param(f"{TRITON}:25.02-vllm-python-py3", [], Reader.SAFETENSORS, id="Triton with vLLM"),
        pytest.param("pytorch/pytorch:2.9", [], Reader.UNKNOWN, id="anything"),
    ],
)
def test_reader(image: str, args: list[str], expected: Reader) -> None:
    assert reader_of(builders.container(image=image, args=args)) is expected


@pytest.mark.parametrize("args", [None, "--load-format", [1, None], {}], ids=repr)
def test_no_arguments_are_too_odd(args: object) -> None:
    assert reader_of({"name": "vllm", "image": builders.IMAGE, "args": args, "command": None}) is Reader.SAFETENSORS
