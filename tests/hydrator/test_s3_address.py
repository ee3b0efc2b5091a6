from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.s3 import address
from webhook.hydrator.s3.settings import Settings, settings_from

ZONAL = "m--use1-az4--x-s3"


# The hosts are what botocore's endpoint rules (1.44.5) resolve for the same arguments.
@pytest.mark.parametrize(
    ("bucket", "settings", "url"),
    [
        ("models", Settings(), "https://models.s3.us-east-1.amazonaws.com/k"),
        ("models", Settings(region="eu-west-1"), "https://models.s3.eu-west-1.amazonaws.com/k"),
        ("models", Settings(region="eu-west-1", path_style=True), "https://s3.eu-west-1.amazonaws.com/models/k"),
        ("models", Settings(dualstack=True), "https://models.s3.dualstack.us-east-1.amazonaws.com/k"),
        ("models", Settings(fips=True), "https://models.s3-fips.us-east-1.amazonaws.com/k"),
        ("models", Settings(fips=True, dualstack=True), "https://models.s3-fips.dualstack.us-east-1.amazonaws.com/k"),
        ("models", Settings(region="cn-north-1"), "https://models.s3.cn-north-1.amazonaws.com.cn/k"),
        ("models", Settings(region="us-gov-west-1"), "https://models.s3.us-gov-west-1.amazonaws.com/k"),
        ("models", Settings(region="us-iso-east-1"), "https://models.s3.us-iso-east-1.c2s.ic.gov/k"),
        ("models", Settings(region="us-isob-east-1"), "https://models.s3.us-isob-east-1.sc2s.sgov.gov/k"),
        ("models", Settings(region="eusc-de-east-1"), "https://models.s3.eusc-de-east-1.amazonaws.eu/k"),
        ("my.models", Settings(), "https://s3.us-east-1.amazonaws.com/my.models/k"),
        ("Up_per", Settings(), "https://s3.us-east-1.amazonaws.com/Up_per/k"),
        (ZONAL, Settings(), f"https://{ZONAL}.s3express-use1-az4.us-east-1.amazonaws.com/k"),
        (ZONAL, Settings(fips=True), f"https://{ZONAL}.s3express-fips-use1-az4.us-east-1.amazonaws.com/k"),
        (ZONAL, Settings(dualstack=True), f"https://{ZONAL}.s3express-use1-az4.dualstack.us-east-1.amazonaws.com/k"),
        ("models", Settings("http://127.0.0.1:8333"), "http://127.0.0.1:8333/models/k"),
        ("models", Settings("http://[::1]:8333/"), "http://[::1]:8333/models/k"),
        ("models", Settings("https://localhost"), "https://localhost/models/k"),
        ("models", Settings("http://minio:9000"), "http://minio:9000/models/k"),
        ("models", Settings("https://store.example:443/s3/"), "https://store.example/s3/models/k"),
        ("models", Settings("https://store.example", path_style=False), "https://models.store.example/k"),
        (
            "models",
            Settings("https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com", region="eu-west-1"),
            "https://models.bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com/k",
        ),
        (ZONAL, Settings("http://127.0.0.1:1"), f"http://127.0.0.1:1/{ZONAL}/k"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("http") else "",
)
def test_a_bucket_is_asked_for_where_it_is(bucket: str, settings: Settings, url: str) -> None:
    endpoint = address.resolve(bucket, settings)
    assert endpoint.url + endpoint.path("k") == url
    assert endpoint.service == ("s3express" if bucket == ZONAL else "s3")


@pytest.mark.parametrize(
    "settings",
    [
        Settings("ftp://store"),
        Settings("store.example:443"),
        Settings("https://"),
        Settings("https://store:port"),
        Settings("https://user:hunter2@store"),
        Settings("https://user:hunter2@store:port"),
        Settings("https://store/?X-Amz-Signature=hunter2"),
        Settings("https://[::1"),
        Settings("https://sto re"),
        Settings(region="eu-west-1/../"),
        Settings(region="eu-west-1.evil.example#"),
        Settings(region="a" * 60),
        Settings(region="cn-north-1", fips=True),
    ],
    ids=lambda settings: settings.endpoint_url or settings.region,
)
def test_settings_that_cannot_be_are_refused(settings: Settings) -> None:
    with pytest.raises(HydrationError) as caught:
        address.resolve("models", settings)
    assert caught.value.exit_code == Exit.USAGE
    assert caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("s3://b-1/m/model.gguf/", ("b-1", "m/model.gguf")),
        ("s3://b-1/m//", ("b-1", "m")),
        ("s3://b-1/", ("b-1", "")),
        ("s3://b-1", ("b-1", "")),
        ("s3://b-1/ü ?#%2F/x", ("b-1", "ü ?#%2F/x")),
    ],
)
def test_a_source_names_bucket_and_key(source: str, place: tuple[str, str]) -> None:
    assert address.parse(source) == place


@pytest.mark.parametrize(
    "source",
    [
        *("", "s3:/b/m", "https://b/m", "s3:///m", "s3://b/m", "s3://a_b@c/m", "s3://b b/m", "s3://arn:aws:s3:::b/m"),
        *("s3://-bucket/m", "s3://bücket/m", "s3://bucket\r\nx:y/m", "s3://bucket/\ud800"),
    ],
    ids=repr,
)
def test_a_source_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(HydrationError) as caught:
        address.parse(source)
    assert caught.value.exit_code == Exit.USAGE


@given(st.text(st.characters(codec="utf-8")))
def test_names_are_encoded_as_the_standard_library_does(text: str) -> None:
    assert address.encoded(text) == quote(text, safe="")
    assert address.encoded_path(text) == quote(text, safe="/")


@given(st.binary())
def test_bytes_that_are_no_utf8_keep_their_value(data: bytes) -> None:
    assert address.encoded(data.decode("utf-8", "surrogateescape")) == quote(data, safe="")


def test_arns() -> None:
    plain = address.resolve("b-1", Settings(region="cn-north-1"))
    zonal = address.resolve(ZONAL, Settings())
    assert address.arn(plain, "b-1") == "arn:aws-cn:s3:::b-1"
    assert address.arn(plain, "b-1", "m/x") == "arn:aws-cn:s3:::b-1/m/x"
    assert address.arn(zonal, ZONAL, "m/x") == f"arn:aws:s3express:us-east-1:*:bucket/{ZONAL}"


@pytest.mark.parametrize(
    ("environ", "flags", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, {}, {"endpoint_url": "http://b"}),
        ({"AWS_ENDPOINT_URL": "http://a"}, {"endpoint_url": ""}, {"endpoint_url": "http://a"}),
        ({"AWS_ENDPOINT_URL": "http://a"}, {"endpoint_url": "http://c"}, {"endpoint_url": "http://c"}),
        ({"AWS_REGION": "r-1", "AWS_DEFAULT_REGION": "r-2"}, {}, {"region": "r-1"}),
        ({"AWS_DEFAULT_REGION": "r-2"}, {"region": None}, {"region": "r-2"}),
        ({"SSL_CERT_FILE": "/s", "AWS_CA_BUNDLE": "/a"}, {}, {"ca_bundle": "/a"}),
        ({"SSL_CERT_FILE": "/s"}, {}, {"ca_bundle": "/s"}),
        (
            {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "True"},
            {},
            {"fips": True, "dualstack": True},
        ),
        ({"AWS_REQUEST_PAYER": "requester"}, {}, {"request_payer": True}),
        ({"AWS_REQUEST_PAYER": "no"}, {"unsigned": True}, {"unsigned": True}),
        ({}, {"path_style": False}, {"path_style": False}),
    ],
)
def test_flags_outrank_the_environment(
    environ: dict[str, str], flags: dict[str, object], expected: dict[str, Any]
) -> None:
    home = {"HOME": "/nonexistent"}
    assert settings_from(environ | home, **flags) == Settings()._replace(**expected)


def test_the_region_of_the_profile_serves_last(tmp_path: Path) -> None:
    file = tmp_path / "config"
    text = "[default]\nregion=eu-1\n[profile  p ]\ns3 =\n  region = no-1\nRegion = eu-2  # mine\n[other]\nregion=eu-3\n"
    file.write_text(text)
    environ = {"AWS_CONFIG_FILE": str(file)}
    assert settings_from(environ).region == "eu-1"
    assert settings_from(environ | {"AWS_PROFILE": "p"}).region == "eu-2"
    assert settings_from(environ | {"AWS_PROFILE": "none"}).region == ""
    assert settings_from(environ | {"AWS_REGION": "r-1"}).region == "r-1"
