"""The command line of `warmpod hydrate`: what it comes to, and one clear line for whatever it cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator import arguments
from webhook.hydrator.options import OPTIONS
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Filters
from webhook.hydrator.request import Effort, Request, Store, Wanted, canonical, directory_of
from webhook.kube.names import digest16
from webhook.policy.allow import canonical_source

SOURCE = "s3://acme-models/llama/"
TOLD: dict[str, Any] = {
    "cache": "/warmpod/cache/nvme",
    "directory": "0123456789abcdef",
    "keepFree": "20%",
    "name": "llama",
    "onFailure": "Retry",
    "source": SOURCE,
}

EVERYTHING = """
--cache /c --directory 00000000000000ff --tenant serving --include *.json --include *.safetensors
--exclude original/* --prefer-safetensors --keep-free 50Gi --max-size 1.5T --trust-cache --lease 1h30m
--page-cache --on-failure Continue --endpoint-url http://127.0.0.1:1 --region eu-west-1 --path-style
--request-payer --no-sign-request --ca-bundle /ca.pem --fips --io direct --bandwidth 25Gbps
--max-rate 500MB/s --processes 3 --connections 7 --termination-log /t --progress none
"""


def parse(*given: str, **environ: str) -> Request:
    return arguments.parse(given, environ)


def complaint(*given: str, **environ: str) -> str:
    with pytest.raises(HydrationError) as caught:
        parse(*given, **environ)
    assert caught.value.exit_code is Exit.USAGE
    assert caught.value.hint
    return caught.value.message


def model(**changes: Any) -> str:
    return json.dumps({**TOLD, **changes})


def test_a_source_and_a_cache_are_enough() -> None:
    (wanted,) = parse("s3://acme-models/llama", "--cache", "/c").models
    assert wanted == Wanted(SOURCE, "/c", digest16(SOURCE), digest16(SOURCE))


def test_what_people_can_say() -> None:
    request = parse(SOURCE, *EVERYTHING.split())
    assert request == Request(
        models=(
            Wanted(
                source=SOURCE,
                cache="/c",
                directory="00000000000000ff",
                name="00000000000000ff",
                tenant="serving",
                filters=Filters(("*.json", "*.safetensors"), ("original/*",), prefer_safetensors=True),
                keep_free="50Gi",
                max_size=1_500_000_000_000,
                trust_cache=True,
                lease_seconds=5400,
                page_cache=True,
                continues=True,
            ),
        ),
        store=Store("http://127.0.0.1:1", "eu-west-1", path_style=True, request_payer=True, unsigned=True,
                    ca_bundle="/ca.pem", fips=True),
        effort=Effort("direct", 25e9 / 8, 500e6, 3, 7),
        termination_log="/t",
        progress="none",
    )  # fmt: skip  # as the command line has it


def test_what_the_webhook_says() -> None:
    told = model(
        tenant="serving", include=["*.json"], exclude=["*.bin"], preferSafetensors=True, pageCache=True,
        maxSize="500Gi", trustCache=True, lease=3600, onFailure="Continue", keepFree="1e9", name="$$(HOME) is a name",
    )  # fmt: skip  # one call
    first, second = parse(f"--model={told}", "--model", model()).models
    assert first == Wanted(
        source=SOURCE,
        cache="/warmpod/cache/nvme",
        directory="0123456789abcdef",
        name="$$(HOME) is a name",
        tenant="serving",
        filters=Filters(("*.json",), ("*.bin",), prefer_safetensors=True),
        keep_free="1e9",
        max_size=500 * 2**30,
        trust_cache=True,
        lease_seconds=3600,
        page_cache=True,
        continues=True,
    )
    assert second == Wanted(SOURCE, "/warmpod/cache/nvme", "0123456789abcdef", "llama")
    assert second.tenant is None


def test_everyones_cache_is_not_a_private_one() -> None:
    assert parse("--model", model(tenant="")).models[0].tenant == ""
    assert parse(SOURCE, "--cache", "/c", "--tenant", "").models[0].tenant == ""


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.kind != "models"], ids=lambda one: one.flag)
def test_the_environment_says_what_the_flag_says(option: Any) -> None:
    texts = {"directory": "00000000000000ff", "tenant": "ns", "keep_free": "7%", "size": "7Gi", "duration": "7h"}
    texts |= {"rate": "7Gbps", "count": "7", "connections": "7", "on_failure": "Continue", "io": "direct"}
    texts |= {"progress": "lines", "text": "/seven", "many": "a b"}
    text = texts.get(option.kind, "true")
    line = {"--verify": [], "--cache": [SOURCE]}.get(option.flag, [SOURCE, "--cache", "/c"])
    if option.kind == "flag":
        said = [option.flag]
    elif option.kind == "many":
        said = [word for glob in text.split() for word in (option.flag, glob)]
    else:
        said = [option.flag, text]
    by_flag, by_twin = parse(*line, *said), parse(*line, **{option.variable: text})
    assert by_flag == by_twin != parse(SOURCE, "--cache", "/c")
    # and the flag goes before the environment
    if option.kind not in {"flag", "many"}:
        assert parse(*line, *said, **{option.variable: "0"}) == by_flag


def test_the_twin_of_models_holds_one_or_several() -> None:
    both = parse(WARMPOD_HYDRATE_MODEL=f"{model()}\n{model(name='b')}").models
    assert [wanted.name for wanted in both] == ["llama", "b"]
    assert parse(SOURCE, "--cache", "/c", WARMPOD_HYDRATE_MODEL=model()).models[0].cache == "/c"


def test_a_flag_can_be_denied_by_its_twin_and_an_empty_twin_says_nothing() -> None:
    assert parse(SOURCE, "--cache", "/c", WARMPOD_PATH_STYLE="off").store.path_style is False
    assert parse(SOURCE, "--cache", "/c", WARMPOD_LEASE="", WARMPOD_IO="") == parse(SOURCE, "--cache", "/c")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "There is no SOURCE"),
        ("--bogus", "unknown: --bogus"),
        ("--cach /c s3://b/m", "unknown: --cach"),
        ("s3://b/m", "--cache DIR is missing"),
        ("s3://b/m s3://b/n --cache /c", "unknown: 's3://b/n'"),
        ("b/m --cache /c", "'b/m' is neither s3://BUCKET/PREFIX/ nor file:///PATH/"),
        ("s3:///m --cache /c", "names no bucket"),
        ("file://host/m --cache /c", "no absolute path"),
        ("file:///a/../b --cache /c", "holds an empty, . or .. name"),
        ("file:/// --cache /c", "no absolute path"),
        ("s3://b/\x1b[31m --cache /c", "do not print"),
        ("s3://b/\udcff --cache /c", "do not print"),
        ("s3://b/m --cache /c --keep-free 100%", "--keep-free: '100%' is neither a percentage"),
        ("s3://b/m --cache /c --keep-free -1", "--keep-free"),
        ("s3://b/m --cache /c --max-size 5GB", "--max-size: '5GB' is no quantity"),
        ("s3://b/m --cache /c --lease h", "--lease: 'h' is no duration"),
        ("s3://b/m --cache /c --lease ٣", "--lease"),
        ("s3://b/m --cache /c --bandwidth 25", "--bandwidth: '25' is no rate"),
        ("s3://b/m --cache /c --max-rate 0bps", "less than a byte"),
        ("s3://b/m --cache /c --processes 0", "--processes: '0' is no number from 1 to 1024"),
        ("s3://b/m --cache /c --connections 11", "is no number from 1 to 10"),
        ("s3://b/m --cache /c --io fast", "--io: 'fast' is none of auto, direct, buffered"),
        ("s3://b/m --cache /c --on-failure retry", "is neither Retry nor Continue"),
        ("s3://b/m --cache /c --directory ../../etc", "is not 16 hex digits"),
        ("s3://b/m --cache /c --tenant ../x", "is no name of a namespace"),
        ("s3://b/m --cache", "expected one argument"),
        ("s3://b/m --verify /c", "one of them at a time"),
        ("s3://b/m --cache /c --model {}", "one of them at a time"),
        ("--verify /c --cache /c", "--cache: say how to bring a SOURCE"),
        ("--model {} --trust-cache", "--trust-cache: are keys of the JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(line: str, said: str) -> None:
    message = complaint(*line.split(" ") if line else ())
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--model: is empty"),
        ("{", "is no JSON: Expecting property name"),
        ("[]", "is no JSON object"),
        ("null", "is no JSON object"),
        ("[" * 50_000, "nested too deeply"),
        ("9" * 5000, "limit"),
        (model() + "x", "is no JSON"),
        (model(souce="s3://b/m/"), "unknown key 'souce'; did you mean 'source'?"),
        (model(zzz=1), "unknown key 'zzz'; the keys are cache, directory"),
        ('{"cache": "/c", "cache": "/d", "source": "s3://b/m/"}', "has the key 'cache' twice"),
        ('{"cache": "/c"}', "lacks the key 'source'"),
        (model(source=7), "'source': 7 is no string"),
        (model(source="s3://b/\0"), "do not print"),
        (model(cache=""), "'cache': '' is no path"),
        (model(directory="0123456789ABCDEF"), "is not 16 hex digits"),
        (model(include="*.bin"), "'include': '*.bin' is no list of globs"),
        (model(exclude=[1]), "'exclude': [1] is no list of globs"),
        (model(trustCache="false"), "'trustCache': 'false' is neither true nor false"),
        (model(lease=True), "'lease': True is no number of seconds"),
        (model(lease=-1), "'lease': -1 is no number of seconds"),
        ('{"cache": "/c", "source": "s3://b/m/", "lease": NaN}', "'lease': nan is no number of seconds"),
        ('{"cache": "/c", "source": "s3://b/m/", "lease": ' + "9" * 400 + "}", "is no number of seconds"),
        (model(maxSize=1.5), "'maxSize': 1.5 is no string"),
        (model(onFailure=None), "'onFailure': None is no string"),
        (model(name={"a": 1}), "'name': {\"a\": 1} is no string"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_says_which_key(text: str, said: str) -> None:
    message = complaint(f"--model={text}")
    assert said in message
    assert len(message) < 600


@pytest.mark.parametrize(
    "line",
    [
        "https://b.s3.amazonaws.com/m?X-Amz-Signature=SECRET --cache /c",
        "https://user:SECRET@store/b/m --cache /c",
        "--secret-key SECRET s3://b/m --cache /c",
        "--secret-key=SECRET s3://b/m --cache /c",
        '--model={"cache":"/c","source":"https://user:SECRET@store/b?SECRET"}',
    ],
)
def test_no_secret_comes_back(line: str) -> None:
    assert "SECRET" not in complaint(*line.split())


@pytest.mark.parametrize(
    ("variable", "text"),
    [("WARMPOD_IO", "fast"), ("WARMPOD_TRUST_CACHE", "perhaps"), ("WARMPOD_LEASE", "x")],
)
def test_a_twin_that_cannot_be_is_named(variable: str, text: str) -> None:
    assert complaint(SOURCE, "--cache", "/c", **{variable: text}).startswith(f"{variable}: {text!r}")


@given(st.lists(st.one_of(st.text(), st.sampled_from([one.flag for one in OPTIONS])), max_size=6))
def test_any_line_is_read_or_refused(line: list[str]) -> None:
    if {"-h", "--help"} & set(line):
        return
    try:
        parse(*line)
    except HydrationError as error:
        refused = error
    else:
        return
    assert refused.exit_code is Exit.USAGE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*TOLD, "tenant", "include", "lease", "maxSize", "pageCache", "x"]), JSON))
def test_any_json_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        (wanted,) = parse("--model", json.dumps({**TOLD, **changes})).models
    except HydrationError as error:
        refused = error
    else:
        assert len(wanted.directory) == 16
        assert wanted.source.endswith("/")
        return
    assert refused.exit_code is Exit.USAGE


SEGMENT = st.text("abcXYZ019_.=+@,~:!-/", max_size=20)


@given(st.sampled_from(["s3://bucket/", "s3://my.bucket-1/", "file:///"]), SEGMENT)
def test_what_policies_take_is_spelt_as_policies_spell_it(start: str, rest: str) -> None:
    wanted = canonical_source(start + rest)
    if wanted is not None and wanted != "file:///":
        assert canonical(start + rest) == wanted
        assert directory_of(wanted) == digest16(wanted)


def test_the_directory_of_some_files_is_that_of_the_decision() -> None:
    chosen = Filters(exclude=("original/*", "*.gguf", "*.gguf"), prefer_safetensors=True)
    assert directory_of("s3://b/llama/", chosen) == "ac194a9317b224ac"


@pytest.mark.parametrize(
    ("line", "environ", "path"),
    [
        (["--termination-log", "/a"], {"WARMPOD_TERMINATION_LOG": "/b"}, "/a"),
        (["--bogus", "--termination-log=/a"], {}, "/a"),
        (["--termination-log"], {"WARMPOD_TERMINATION_LOG": "/b"}, "/b"),
        ([], {"WARMPOD_TERMINATION_LOG": ""}, ""),
    ],
)
def test_where_last_words_go_is_known_of_any_line(line: list[str], environ: dict[str, str], path: str) -> None:
    assert arguments.termination_log(line, environ) == path
