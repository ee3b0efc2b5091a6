"""Settings by client, network and memory: each is one that its client reads, of the type it takes, and has a source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.clients.catalogue import catalogue
from webhook.clients.profiles import Row, profiles
from webhook.clients.tuning import tuning
from webhook.ec2.instances import CLASSES

KNOWN, PROFILES = catalogue(), profiles()
GIB = 2**30
CLIENTS = st.one_of(st.none(), st.sets(st.sampled_from(sorted(KNOWN.clients)), max_size=4).map(KNOWN.whole))
NETWORKS = st.sampled_from(PROFILES.classes)
MEMORY = st.one_of(st.none(), st.integers(0, 4 * 2**40))
ROWS = [pytest.param(row, id=f"{row.client} {row.name}") for row in PROFILES.rows]


def test_the_classes_are_those_of_the_instance_types() -> None:
    assert PROFILES.classes == CLASSES


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_what_its_client_reads_and_takes(row: Row) -> None:
    if row.kind == "env":
        readers, kind = KNOWN.readers(row.name), None
        if row.name in KNOWN.variables:
            kind = KNOWN.variables[row.name].type
    else:
        readers, kind = KNOWN.settings[row.name].clients, KNOWN.settings[row.name].type
    assert readers is not None
    assert row.client in readers
    assert row.why
    assert all(row.source)
    assert row.values or row.memory == "halfOfMost"
    for value in row.values.values():
        assert kind is None or not kind.fault(value)


@pytest.mark.parametrize("row", [each for each in PROFILES.rows if len(set(each.values.values())) > 1])
def test_a_faster_network_never_means_less(row: Row) -> None:
    values = [row.values[each] for each in PROFILES.classes]
    numbers = [int(value.removesuffix("Gb/s")) for value in values if "{" not in value]
    assert numbers == sorted(numbers)


def test_rows_of_one_name_agree_so_that_their_order_means_nothing() -> None:
    seen: dict[str, Row] = {}
    for row in PROFILES.rows:
        other = seen.setdefault(row.name, row)
        assert (other.values, other.memory, other.needs_disk) == (row.values, row.memory, row.needs_disk), row.name


def test_what_stands_outside_is_no_variable_that_could_be_set_here() -> None:
    for each in PROFILES.outside:
        assert each.client in KNOWN.clients
        assert each.why
        assert each.source


@pytest.mark.parametrize(
    ("client", "gbps", "memory", "expected"),
    [
        pytest.param("vllm", 100, None, {"RUNAI_STREAMER_CONCURRENCY": "128"}, id="vllm"),
        pytest.param("vllm", 25, 64 * GIB, {"RUNAI_STREAMER_MEMORY_LIMIT": str(32 * GIB)}, id="half of the limit"),
        pytest.param("tensorstore", 400, None, {"TENSORSTORE_S3_REQUEST_CONCURRENCY": "640"}, id="tensorstore"),
        pytest.param("awscrt", 200, None, {"AWS_CRT_S3_MEMORY_LIMIT_IN_MB": "4160"}, id="crt without a limit"),
        pytest.param("awscrt", 200, GIB, {"AWS_CRT_S3_MEMORY_LIMIT_IN_MB": "512"}, id="crt in 1 GiB"),
        pytest.param("awscrt", 25, 512 * 2**20, {"AWS_CRT_S3_MEMORY_LIMIT_IN_MB": "256"}, id="crt in 512 MiB"),
        pytest.param("triton-server", 100, None, {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "10"}, id="c++"),
        pytest.param("kserve-storage", 50, None, {"S3_MAX_FILE_CONCURRENCY": "16"}, id="kserve"),
        pytest.param("huggingface-hub", 100, None, {"HF_XET_CLIENT_AC_MAX_DOWNLOAD_CONCURRENCY": "128"}, id="hub"),
        pytest.param("botocore", 100, None, {"AWS_MAX_ATTEMPTS": "10"}, id="boto3"),
    ],
)
def test_what_a_client_gets(client: str, gbps: int, memory: int | None, expected: dict[str, str]) -> None:
    found = tuning(KNOWN.whole([client]), gbps, memory)
    assert expected.items() <= found.env.items()
    assert bool(found.aws_config) == (client == "aws-cli")


@pytest.mark.parametrize(
    ("client", "memory", "name"),
    [
        pytest.param("awscrt", 511 * 2**20, "AWS_CRT_S3_MEMORY_LIMIT_IN_MB", id="less than the CRT takes"),
        pytest.param("vllm", None, "RUNAI_STREAMER_MEMORY_LIMIT", id="no limit"),
        pytest.param("vllm", 80 * 10**9, "RUNAI_STREAMER_MEMORY_LIMIT", id="the streamer's own limit is less"),
        pytest.param("vllm", 6 * GIB, "RUNAI_STREAMER_MEMORY_LIMIT", id="a tensor may not fit"),
        pytest.param("botocore", None, "AWS_DEFAULTS_MODE", id="boto3 keeps its time limits"),
        pytest.param("s5cmd", None, "AWS_MAX_ATTEMPTS", id="SDK Go v1 does not read it"),
    ],
)
def test_what_a_client_does_not_get(client: str, memory: int | None, name: str) -> None:
    assert name not in tuning(KNOWN.whole([client]), 100, memory).env


def test_the_aws_cli_gets_a_configuration_and_direct_io_where_it_writes_to_a_disk() -> None:
    clients = KNOWN.whole(["aws-cli"])
    expected = {"max_concurrent_requests": 300, "preferred_transfer_client": "crt", "target_bandwidth": "200Gb/s"}
    assert tuning(clients, 200, disk=False).aws_config == {"s3": expected}
    assert tuning(clients, 200).aws_config == {"s3": {**expected, "direct_io": True}}


def test_a_container_of_unknown_clients_gets_what_can_do_no_harm() -> None:
    found = tuning(None, 100, 64 * GIB)
    assert set(found.env) == {
        "AWS_CRT_S3_MEMORY_LIMIT_IN_MB",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    }
    assert found.aws_config == {}


@given(CLIENTS, NETWORKS, NETWORKS, MEMORY, st.booleans())
def test_the_network_changes_values_and_never_which_settings_there_are(
    clients: frozenset[str] | None, one: int, other: int, memory: int | None, disk: bool
) -> None:
    first, second = (tuning(clients, gbps, memory, disk=disk) for gbps in (one, other))
    assert list(first.env) == list(second.env) == sorted(first.env)
    assert first.aws_config.keys() == second.aws_config.keys()
    assert all(value for value in first.env.values())


@given(CLIENTS, NETWORKS, st.integers(0, 4 * 2**40))
def test_no_client_is_given_more_than_half_of_a_containers_memory(
    clients: frozenset[str] | None, gbps: int, memory: int
) -> None:
    env = tuning(clients, gbps, memory).env
    assert int(env.get("AWS_CRT_S3_MEMORY_LIMIT_IN_MB", 0)) * 2**20 <= memory / 2
    assert int(env.get("RUNAI_STREAMER_MEMORY_LIMIT", 0)) <= memory / 2
