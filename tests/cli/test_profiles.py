"""`warmpod profiles`: what it prints is what `clientProfiles: auto` sets, and its YAML is a policy file."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from webhook.cli.main import main
from webhook.clients.catalogue import catalogue
from webhook.clients.profiles import profiles
from webhook.clients.tuning import tuning
from webhook.policy.parse import parse
from webhook.policy.problem import Source


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["profiles", *arguments])


@pytest.mark.parametrize("client", sorted(catalogue().clients))
def test_what_it_prints_is_a_policy_file_and_what_auto_sets(client: str) -> None:
    found = run("--client", client, "--output", "yaml")
    assert found.exit_code == 0
    parsed = parse([Source("profile.yaml", found.stdout)])
    assert not parsed.problems
    names = [f"{client}-{gbps}g" for gbps in profiles().classes]
    assert {each.name for each in parsed.profiles} == set(names)
    for each in parsed.profiles:
        expected = tuning(catalogue().whole([client]), int(each.name.rsplit("-", 1)[1].removesuffix("g")))
        assert dict(each.env) == dict(expected.env)
        assert dict(each.aws_config) == dict(expected.aws_config)


def test_a_table_of_all_networks_or_one_with_the_reasons() -> None:
    heads = run("--client", "vllm").stdout.splitlines()[0]
    assert heads.split("  ")[-1].strip() == "400 Gb/s"
    lines = run("--client", "vllm", "--instance-type", "p5.48xlarge").stdout.splitlines()
    assert lines[0].split() == ["CLIENT", "SETTING", "VALUE", "WHY"]
    assert any(line.split()[:3] == ["runai-streamer", "RUNAI_STREAMER_CONCURRENCY", "128"] for line in lines)


def test_the_memory_limit_counts_and_programs_read_json() -> None:
    arguments = ("--client", "vllm", "--network", "100", "--memory", "64Gi", "--output", "json")
    (document,) = json.loads(run(*arguments).stdout)
    assert document["network"] == 100
    assert document["env"]["RUNAI_STREAMER_MEMORY_LIMIT"] == str(32 * 2**30)
    assert {row["name"] for row in document["settings"]} == set(document["env"])
    assert all(row["why"] and row["source"] for row in document["settings"])


def test_a_client_named_twice_counts_once() -> None:
    arguments = ("--client", "vllm", "--network", "100", "--output", "yaml")
    assert run("--client", "vllm", *arguments).stdout == run(*arguments).stdout


@pytest.mark.parametrize("client", sorted({each.client for each in profiles().outside}))
def test_what_no_variable_sets_is_said(client: str) -> None:
    found = run("--client", client)
    assert found.exit_code == 0
    assert any(each.why in found.stderr for each in profiles().outside if each.client == client)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--client", "s5cmdd"), "did you mean s5cmd?"),
        (("--client", "zzz"), "they are arrow, aws-cli, "),
        (("--client", "VLLM"), "did you mean vllm?"),
        (("--instance-type", "p5.48xlarg"), "did you mean p5.48xlarge?"),
        (("--instance-type", "m5.large"), "--network says it of any other"),
        (("--instance-type", "zzz"), "--network says it of any other"),
        (("--instance-type", "p5.48xlarge", "--network", "100"), "leave the other one out"),
        (("--memory", "much"), "write 64Gi or 68719476736"),
        (("--memory", "-1Gi"), "write 64Gi or 68719476736"),
        (("--network", "30"), "'30' is not one of"),
    ],
)
def test_what_it_refuses(arguments: tuple[str, ...], told: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert told in found.stderr
    assert not found.stdout
