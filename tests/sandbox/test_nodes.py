"""Pretend nodes, and the pods that hydrated their models."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from webhook.kube import names
from webhook.sandbox import models
from webhook.sandbox.cluster import STAGES
from webhook.sandbox.nodes import MAX_IMAGES, PretendModel, PretendNode, fleet, manifest

IMAGE = "vllm/vllm-openai:v0.11.0"
CANONICAL = f"docker.io/{IMAGE}"
MODEL = PretendModel("s3://acme-models/llama/", "serving", 16_000)


def test_a_fleet_is_partly_warm_and_spread_over_two_zones() -> None:
    nodes = fleet(4, warm=2, images={IMAGE: 9})
    assert [node.name for node in nodes] == ["gpu-1", "gpu-2", "gpu-3", "gpu-4"]
    assert [bool(node.images) for node in nodes] == [True, True, False, False]
    assert {node.zone for node in nodes[:2]} == {"us-west-2a", "us-west-2b"}


def test_the_node_has_what_its_kubelet_would_give_it_and_nothing_of_ours() -> None:
    document = manifest(PretendNode("gpu-1", images={IMAGE: 9}, models=(MODEL,), labels={"team": "a"}))
    assert document["status"]["images"] == [{"names": [CANONICAL], "sizeBytes": 9}]
    assert document["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    labels = document["metadata"]["labels"]
    assert labels["topology.kubernetes.io/region"] == "us-west-2"
    assert labels["team"] == "a"
    assert not [key for key in labels if key.startswith(names.NODE_LABEL_PREFIX)], "those are the controller's to write"


def test_a_node_made_again_under_its_name_is_another_boot() -> None:
    first, second = (manifest(PretendNode("gpu-1"))["status"]["nodeInfo"]["bootID"] for _ in range(2))
    assert first
    assert first != second


def test_images_are_listed_biggest_first_and_at_most_as_many_as_kubelet_lists() -> None:
    document = manifest(PretendNode("gpu-1", images={f"app{n}:1": n for n in range(MAX_IMAGES + 5)}))
    sizes = [entry["sizeBytes"] for entry in document["status"]["images"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == MAX_IMAGES
    assert sizes[0] == MAX_IMAGES + 4


def test_a_bad_image_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="'VLLM:latest:x' is no image reference"):
        manifest(PretendNode("gpu-1", images={"VLLM:latest:x": 1}))


@pytest.mark.parametrize("source", ["s3://b", "http://b/x/", "s3://b/../x/", "s3://b/<x>/", ""])
def test_a_model_that_no_policy_could_allow_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="is no source of a model"):
        manifest(PretendNode("gpu-1", models=(PretendModel(source),)))


@pytest.mark.parametrize(
    ("tenant", "directory"), [("serving", "namespaces/serving"), ("", "cluster")], ids=["a tenant's", "everyone's"]
)
def test_a_pod_hydrated_it_there_as_a_mutated_pod_would(tenant: str, directory: str) -> None:
    pod = models.pod(PretendNode("gpu-7"), PretendModel("s3://acme-models/$HOME/", tenant, 5), "hydrator:1")
    assert pod["spec"]["nodeName"] == "gpu-7"
    assert pod["metadata"]["annotations"] == {models.ANNOTATION_BYTES: "5"}
    [init] = pod["spec"]["initContainers"]
    assert init["name"] == names.INIT_CONTAINER
    [mount] = init["volumeMounts"]
    command, argument = init["args"]
    assert command == "hydrate"
    assert "$HOME" not in argument.replace("$$HOME", ""), "the kubelet would expand it"
    told = json.loads(argument.removeprefix("--model=").replace("$$", "$"))
    assert (told["source"], told["cache"]) == ("s3://acme-models/$HOME/", mount["mountPath"])
    assert told["tenant"] == tenant
    assert mount["subPath"] == directory


def test_the_webhook_is_not_asked_about_that_pod() -> None:
    pod = models.pod(PretendNode("gpu-1"), MODEL, "hydrator:1")
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    assert all("resources" not in each for each in containers)
    assert "resourceClaims" not in pod["spec"]


def test_the_stages_and_the_code_use_the_same_words() -> None:
    text = STAGES.read_text()
    stages = {stage["metadata"]["name"]: stage for stage in yaml.safe_load_all(text)}
    ready = stages["pod-ready"]["spec"]["next"]["statusTemplate"]
    assert f'eq .name "{names.INIT_CONTAINER}"' in ready
    assert f'"{models.ANNOTATION_BYTES}") "{models.DEFAULT_BYTES}"' in ready
    assert f'"{models.ANNOTATION_REPORT}"' in ready
    keys = [one["key"] for one in stages["pod-hydrated-before"]["spec"]["selector"]["matchExpressions"]]
    assert f'.metadata.labels["{models.LABEL}"]' in keys
    assert re.findall(r'hasPrefix "([^"]*)"', ready) == ["--model="]
