"""`warmpod estimate`: what it prints, and what it refuses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from webhook.cli.machine import machine_of
from webhook.cli.main import main
from webhook.cost.ladder import RUNGS
from webhook.ec2.instances import instance, instances

G6 = ("--image-size", "9.4G", "--model-size", "16.4G", "--instance-type", "g6.2xlarge")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["estimate", *arguments])


def test_people_read_phases_and_what_warmth_saves() -> None:
    found = run(*G6)
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["PHASE", "BEGINS", "SECONDS", "LIMITED", "BY"]
    assert [line.split()[0] for line in lines[1:7]] == ["provision", "boot", "pull", "fetch", "load", "init"]
    assert "the root volume" in lines[3]
    assert lines[8].startswith("serves after 604 s (")
    assert lines[9].startswith("on a warm node after 254 s (")
    assert lines[9].endswith("350 s less")


def test_programs_read_json() -> None:
    found = json.loads(run(*G6, "--output", "json").stdout)
    assert found["seconds"] == pytest.approx(sum(each["seconds"] for each in found["phases"]), abs=0.5)
    assert found["best"] <= found["seconds"] <= found["worst"]
    assert found["saved"] == pytest.approx(found["seconds"] - found["warm"]["seconds"], abs=0.2)
    assert found["phases"][2]["limitedBy"] == "root"
    assert found["swings"][0]["figure"] == "engine.compile"


def test_all_ways_stand_side_by_side() -> None:
    table = run(*G6, "--all").stdout.splitlines()
    assert len(table) == len(RUNGS) + 1
    document = json.loads(run(*G6, "--all", "--output", "json").stdout)
    assert [each["way"] for each in document["ways"]] == [rung.name for rung in RUNGS]
    assert document["ways"][0]["seconds"] == json.loads(run(*G6, "--output", "json").stdout)["seconds"]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (("--ready-node",), 554),
        (("--assume", "node.boot=5"), 564),
        (("--assume", "node.boot=5", "--assume", "node.provision=0"), 559),
        (("--pull", "snapshot-fsr"), 380),
        (("--pull", "soci-bottlerocket", "--instance-store", "--fetch", "hydrate"), 354),
        (("--pull", "present", "--fetch", "mount", "--volume", "mountpoint"), 517),
        (("--pull", "present", "--fetch", "mount", "--volume", "mountpoint", "--reader", "streamer"), 278),
        (("--engine", "none"), 404),
        (("--network-gbps", "0.1"), 2365),
        (("--root-throughput", "1000Mi"), 512),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_options_change_the_estimate(arguments: tuple[str, ...], seconds: int) -> None:
    found = json.loads(run(*G6, *arguments, "--output", "json").stdout)
    assert found["seconds"] == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--image-size", "9,4G"), "--image-size: '9,4G' is not a quantity"),
        (("--image-size", "-1"), "-1 is no number of bytes"),
        (("--image-size", "1m"), "1m is no number of bytes"),
        (("--image-size", "1G", "--instance-type", "g6.2xlarg"), "did you mean g6.2xlarge?"),
        (("--image-size", "1G", "--instance-type", "\x1b[31m"), "\\x1b[31m"),
        (("--image-size", "1G", "--assume", "node.bot=1"), "did you mean node.boot?"),
        (("--image-size", "1G", "--assume", "node.boot"), "is not NAME=NUMBER"),
        (("--image-size", "1G", "--assume", "node.boot=nan"), "is no number above zero"),
        (("--image-size", "1G", "--assume", "pull.containerd=0"), "is no number above zero"),
        (("--image-size", "1G", "--assume", "node.boot=1e308"), "is no number to reckon with"),
        (("--image-size", "1G", "--assume", "node.boot=inf"), "is no number to reckon with"),
        (("--image-size", "1G", "--assume", "ebs.root=1e-308"), "is no number to reckon with"),
        (("--image-size", "1e999"), "--image-size: 1e999 is more than 1Pi"),
        (("--image-size", "1G", "--model-size", "1E"), "--model-size: 1E is more than 1Pi"),
        (("--image-size", "1G", "--model-size", "1G", "--fetch", "stream"), "--reader streamer"),
        (("--image-size", "1G", "--instance-type", "inf2.xlarge", "--instance-store"), "has none"),
        (("--image-size", "1G", "--model-size", "1G", "--fetch", "mount", "--overlap"), "--overlap"),
        ((), "--image-size"),
    ],
)
def test_what_cannot_be_reckoned_is_refused(arguments: tuple[str, ...], says: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert says in found.stderr
    assert not found.stdout


@pytest.mark.parametrize("name", sorted(instances()))
def test_every_instance_type_is_a_machine(name: str) -> None:
    known = instance(name)
    assert known is not None
    node = machine_of(known)
    assert 0 < node.network <= node.network_peak or node.network_peak == 0
    assert node.ebs > 0
    assert (node.disks > 0) == (known.store > 0)
