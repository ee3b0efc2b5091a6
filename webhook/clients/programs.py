"""Which S3 clients a container runs, by its command or its image. What is not certain is not said.

Images are known by the last name of their repository, so that a mirror of an image counts as the image. An image that
people put programs of their own on (pytorch, ray, python) says nothing, nor does a shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from webhook.clients.catalogue import catalogue

_IMAGES: tuple[tuple[str, frozenset[str]], ...] = (
    (r"vllm-(openai|tpu|xpu|rocm|neuron)(-[a-z0-9-]+)?|vllm", frozenset({"vllm"})),
    (r"sglang", frozenset({"sglang"})),
    (r"text-generation-inference|text-embeddings-inference", frozenset({"huggingface-hub"})),
    (r"aws-cli", frozenset({"aws-cli"})),
    (r"s5cmd", frozenset({"s5cmd"})),
    (r"rclone", frozenset({"rclone"})),
    (r"storage-initializer", frozenset({"kserve-storage"})),
)
_TRITON = "tritonserver"
_PROGRAMS = {
    "aws": frozenset({"aws-cli"}),
    "s5cmd": frozenset({"s5cmd"}),
    "rclone": frozenset({"rclone"}),
    "vllm": frozenset({"vllm"}),
    "mount-s3": frozenset({"mountpoint"}),
    "text-generation-launcher": frozenset({"huggingface-hub"}),
}
_MODULES = {"vllm": frozenset({"vllm"}), "sglang": frozenset({"sglang"})}
_PYTHON = re.compile(r"python(3(\.[0-9]+)?)?")
_LONGEST = 1024


def clients_of(container: dict[str, Any]) -> frozenset[str] | None:
    """Return the clients of one container of a pod, with all they are built on; None where that is not known."""
    image, command, args = container.get("image"), _words(container.get("command")), _words(container.get("args"))
    path = _repository(image) if isinstance(image, str) else ("", "")
    if not command:
        found = _of_image(path)
    else:
        program = command[0].rsplit("/", 1)[-1]
        words = [*command[1:], *args]
        if program == _TRITON:
            found = _of_triton(path)
        elif _PYTHON.fullmatch(program):
            found = _of_python(words)
        else:
            found = _PROGRAMS.get(program)
    return catalogue().whole(found) if found else None


def _of_image(image: tuple[str, str]) -> frozenset[str] | None:
    name, _ = image
    if name == _TRITON:
        return _of_triton(image)
    return next((clients for pattern, clients in _IMAGES if re.fullmatch(pattern, name)), None)


def _of_triton(image: tuple[str, str]) -> frozenset[str] | None:
    """Of NVIDIA's own images; one that was built upon may have anything in its Python backend."""
    name, tag = image
    if name != _TRITON:
        return None
    found = {"triton-server"}
    if "vllm" in tag:
        found.add("vllm")
    if "trtllm" in tag:
        found.add("transformers")
    return frozenset(found)


def _of_python(words: Sequence[str]) -> frozenset[str] | None:
    if len(words) < 2 or words[0] != "-m":
        return None
    return _MODULES.get(words[1].split(".", 1)[0])


def _words(found: object) -> list[str]:
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _repository(image: str) -> tuple[str, str]:
    """The last name of an image's repository, and its tag."""
    name, _, tag = image[:_LONGEST].partition("@")[0].rpartition("/")[2].partition(":")
    return name, tag
