"""Our SigV4 held against awscrt's, which Amazon maintains."""

from __future__ import annotations

from datetime import UTC, datetime

from awscrt import auth
from awscrt.http import HttpHeaders, HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from webhook.hydrator.s3.address import encoded, resolve
from webhook.hydrator.s3.credentials import Credentials
from webhook.hydrator.s3.settings import Settings
from webhook.hydrator.s3.signature import Signer

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
# What a key can be: any Unicode, dots and slashes that nobody may tidy up, and what looks encoded already.
KEYS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.lists(st.sampled_from(["..", ".", "", "a", "%2F", "%", "+", " ", "~", "é", "\x00", "?x=1", "#"])).map("/".join),
)
VALUES = st.text(st.characters(codec="utf-8"), max_size=30)
Headers = list[tuple[str, str]]
TOKENS = st.text(st.sampled_from("abcXYZ019+/="), max_size=80)


def theirs(service: str, token: str, method: str, target: str, headers: Headers, *, when: int) -> str:
    express = service == "s3express" and token
    algorithm = auth.AwsSigningAlgorithm.V4_S3EXPRESS if express else auth.AwsSigningAlgorithm.V4
    config = auth.AwsSigningConfig(
        algorithm=algorithm,
        signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=auth.AwsCredentialsProvider.new_static(ACCESS, SECRET, token or None),
        region="eu-west-1",
        service=service,
        date=datetime.fromtimestamp(when, UTC),
        use_double_uri_encode=False,
        should_normalize_uri_path=False,
        signed_body_value=auth.AwsSignedBodyValue.EMPTY_SHA256,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    request = HttpRequest(method, target, HttpHeaders(headers))
    signed = auth.aws_sign_request(request, config).result(10)
    return str(dict(signed.headers)["Authorization"])


def ours(service: str, token: str, method: str, target: str, headers: Headers, *, when: int) -> str:
    path, _, query = target.partition("?")
    lines = Signer("eu-west-1", service).head(
        Credentials(ACCESS, SECRET, token), method, path, query, headers, session=service == "s3express", now=when
    )
    assert lines.endswith("\r\n")
    sent = dict(line.split(":", 1) for line in lines[:-2].split("\r\n"))
    return sent["authorization"]


@given(
    key=KEYS,
    prefix=VALUES,
    token=TOKENS,
    method=st.sampled_from(["GET", "HEAD"]),
    service=st.sampled_from(["s3", "s3express"]),
    when=st.integers(0, 4_000_000_000),
    first=st.integers(0, 1 << 60),
)
def test_equals_that_of_awscrt(
    *, key: str, prefix: str, token: str, method: str, service: str, when: int, first: int
) -> None:
    endpoint = resolve("my.bucket", Settings(region="eu-west-1"))
    target = endpoint.path(key)
    if prefix:
        target += f"?list-type=2&prefix={encoded(prefix)}"
    headers = [
        ("host", endpoint.authority),
        ("range", f"bytes={first}-{first + 1}"),
        ("if-match", '"0f343b0931126a20f133d67c2b018a3b-7"'),
        ("x-amz-request-payer", "requester"),
    ]
    asked = (service, token, method, target, headers)
    assert ours(*asked, when=when) == theirs(*asked, when=when)


def test_keeps_nothing_of_the_credentials_or_the_day_before() -> None:
    signer = Signer("eu-west-1", "s3")
    headers = [("host", "h")]
    seen = set()
    for credentials in (Credentials("a", "one"), Credentials("a", "two")):
        for now in (1_700_000_000, 1_700_000_001, 1_700_086_400):
            kept = signer.head(credentials, "GET", "/", "", headers, now=now)
            assert kept == Signer("eu-west-1", "s3").head(credentials, "GET", "/", "", headers, now=now)
            seen.add(kept)
    assert len(seen) == 6


def test_credentials_do_not_show_themselves() -> None:
    shown = f"{Credentials(ACCESS, SECRET, 'token')!r} {Credentials(ACCESS, SECRET)} {[Credentials(ACCESS, SECRET)]}"
    assert SECRET not in shown
    assert ACCESS not in shown
