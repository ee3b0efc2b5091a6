"""What an installation decides by, as its objects say; over a scripted API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from tests.scripted_http import Answer, HttpRequest, HttpServer, reply
from webhook.cli import live
from webhook.cli.errors import CouldNotRun
from webhook.cli.options import DEFAULT_HYDRATOR_IMAGE
from webhook.kube import Object
from webhook.policy.model import PolicySet
from webhook.sources.kube_api import KubeApi

ROOT = "/namespaces/warmpod-system"
DEPLOYMENT = f"/apis/apps/v1{ROOT}/deployments/warmpod"
IMAGE, LEVEL = "WARMPOD_HYDRATOR_IMAGE", "WARMPOD_DEFAULT_POD_SECURITY_LEVEL"
RATE = "WARMPOD_IMAGE_BYTES_PER_SECOND"
POLICY = builders.policy("  env: [{name: A, value: b}]", name="installed")


def config_map(name: str) -> str:
    return f"/api/v1{ROOT}/configmaps/{name}"


class Server(HttpServer):
    """Objects by path; what is None is forbidden."""

    def __init__(self, objects: dict[str, Object | None]) -> None:
        super().__init__()
        self.objects = objects

    async def handle(self, request: HttpRequest, writer: asyncio.StreamWriter) -> bool:
        if request.path not in self.objects:
            await reply(writer, Answer(404))
        elif (found := self.objects[request.path]) is None:
            await reply(writer, Answer(403))
        else:
            await reply(writer, Answer(200, json.dumps({"metadata": {}, **found}).encode()))
        return True


def deployment(volume: Object, **env: str) -> Object:
    told = {"WARMPOD_POLICIES": "/etc/warmpod/policies", **env}
    container = {
        "name": "webhook",
        "env": [{"name": name, "value": value} for name, value in told.items()],
        "volumeMounts": [{"name": "other", "mountPath": "/etc"}, {"name": "p", "mountPath": "/etc/warmpod/policies/"}],
    }
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": [{"name": "p", **volume}]}}}}


def policies(*texts: str) -> Object:
    data = {f"{index}.yaml": text for index, text in enumerate(texts)}
    fields = [{"time": "2026-11-22T10:00:00Z"}, {"time": "2026-11-22T09:00:00Z"}, {}]
    return {"data": {**data, "README": "no policy"}, "metadata": {"managedFields": fields}}


def found(objects: dict[str, Object | None], directory: Path) -> live.Installed:
    async def look() -> live.Installed:
        server = Server(objects)
        await server.start()
        try:
            async with KubeApi.connect(server.write_kubeconfig(directory, {"token": "t"})) as api:
                return await live.installed(api)
        finally:
            await server.stop()

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("objects", "names", "why"),
    [
        (
            {DEPLOYMENT: deployment({"configMap": {"name": "mine-h4sh"}}), config_map("mine-h4sh"): policies(POLICY)},
            ["installed"],
            "",
        ),
        ({DEPLOYMENT: None, config_map("warmpod-policies"): policies(POLICY)}, ["installed"], ""),
        ({config_map("warmpod-policies"): policies()}, [], ""),
        ({DEPLOYMENT: deployment({"emptyDir": {}})}, None, "do not come from a ConfigMap"),
        ({DEPLOYMENT: None}, None, "there is no ConfigMap warmpod-system/warmpod-policies"),
        ({config_map("warmpod-policies"): None}, None, "you may not get configmaps in namespace warmpod-system"),
    ],
    ids=["by-hash", "no-right-to-the-deployment", "none", "git-sync", "missing", "forbidden"],
)
def test_installed_policies(
    objects: dict[str, Object | None], names: list[str] | None, why: str, tmp_path: Path
) -> None:
    installed = found(objects, tmp_path)
    assert (None if installed.policies is None else [one.name for one in installed.policies.policies]) == names
    assert why in installed.why
    if names:
        assert installed.changed == 1_795_341_600.0


def test_problems_name_the_config_map(tmp_path: Path) -> None:
    broken = POLICY.replace("env:", "evn:")
    installed = found({config_map("warmpod-policies"): policies(broken)}, tmp_path)
    assert installed.policies is not None
    assert installed.policies.problems[0].file == "ConfigMap warmpod-system/warmpod-policies:0.yaml"


@pytest.mark.parametrize(
    ("told", "given", "expected"),
    [
        ({}, {}, (DEFAULT_HYDRATOR_IMAGE, "baseline", 70e6)),
        ({IMAGE: "x", LEVEL: "privileged"}, {}, ("x", "privileged", 70e6)),
        ({IMAGE: "x"}, {"hydrator_image": "", "level": "restricted"}, ("", "restricted", 70e6)),
        ({RATE: "1e6", LEVEL: "nonsense"}, {}, (DEFAULT_HYDRATOR_IMAGE, "baseline", 1e6)),
        ({RATE: "nan"}, {}, (DEFAULT_HYDRATOR_IMAGE, "baseline", 70e6)),
    ],
    ids=["nothing", "installed", "said", "odd", "nan"],
)
def test_what_a_person_says_goes_before_the_installation(
    told: dict[str, str], given: dict[str, Any], expected: tuple[str, str, float]
) -> None:
    facts = live.facts_of(live.Installed(told), PolicySet(), None, **given)
    settings = facts.settings
    assert (settings.hydrator_image, str(settings.default_level), settings.image_bytes_per_second) == expected
    assert facts.placement_usable is False


@pytest.mark.parametrize(
    ("said", "expected"), [("on", "on"), ("off", "off"), ("auto", "auto"), ("", "auto"), ("yes", "auto")]
)
def test_whether_the_installation_has_image_volumes(said: str, expected: str) -> None:
    told = {"WARMPOD_IMAGE_VOLUMES": said} if said else {}
    assert live.facts_of(live.Installed(told), PolicySet(), None).settings.image_volumes == expected


def test_its_own_accelerators() -> None:
    installed = live.Installed({"WARMPOD_ACCELERATORS": "example.com/npu example.com/tpu*"})
    assert installed.accelerators.is_resource("example.com/npu")
    assert not installed.accelerators.is_resource("nvidia.com/gpu")
    assert live.Installed().accelerators.is_resource("nvidia.com/gpu")


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    async def nothing(_api: KubeApi) -> None: ...

    with pytest.raises(CouldNotRun, match="no-such-file"):
        live.asked(tmp_path / "no-such-file", None, nothing)
