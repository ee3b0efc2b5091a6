"""What a server may answer, parsed without a server."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hydrator.scripted_s3 import listing
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.s3 import address
from webhook.hydrator.s3.answer import Answer, Unparsable, parse_head
from webhook.hydrator.s3.chunks import dechunked
from webhook.hydrator.s3.listing import Listed, parse_page
from webhook.hydrator.s3.markup import NotXml, read
from webhook.hydrator.s3.reader import stated_crc64
from webhook.hydrator.s3.refusal import Asked, Elsewhere, Stale, problem_of, refusal
from webhook.hydrator.s3.session import parse_session
from webhook.hydrator.s3.settings import Settings

PLACE = address.resolve("models", Settings(region="eu-west-1"))
GET = Asked("s3:GetObject", "models", "m/x", "the role of the node")
LIST = Asked("s3:ListBucket", "models", "m/", "the role of the node")


def page(*objects: tuple[str, int], token: str = "", etag: str = "&quot;e1&quot;") -> bytes:
    return listing(*objects, token=token, etag=etag).partition(b"\r\n\r\n")[2]


def body(code: str, message: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@given(st.binary(max_size=200))
def test_no_answer_crashes_a_parser(data: bytes) -> None:
    for parse in (parse_head, parse_page, parse_session, lambda text: b"".join(dechunked(iter([text])))):
        with pytest.raises((Unparsable, NotXml, Transient)):
            parse(data)
    assert problem_of(data, ()) == ("", "", "")
    refusal(Answer(403, {"location": data.decode("latin-1")}), data, GET, PLACE, ())


def test_a_head() -> None:
    answer = parse_head(b'HTTP/1.1 206 Partial Content\r\nContent-Length:  7 \r\nETag: "a:b"\r\nRetry-After: 900')
    assert (answer.status, answer.length, answer.headers["etag"], answer.delay) == (206, 7, '"a:b"', 60.0)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "²", "9" * 40, "7, 7", "0x10"])
def test_lengths_that_are_none(text: str) -> None:
    answer = Answer(200, {"content-length": text, "retry-after": text})
    assert answer.length is None
    assert answer.delay == 0.0


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_listing_names_any_key(key: str) -> None:
    assert parse_page(page((quote_plus(key), 7))).objects == [Listed(key, 7, '"e1"')]


def test_a_listing_without_encoding() -> None:
    data = page(("a+b%20&amp;&#xfc;", 1)).replace(b"<EncodingType>url</EncodingType>", b"")
    assert parse_page(data).objects == [Listed("a+b%20&ü", 1, '"e1"')]


def test_pages() -> None:
    assert parse_page(page(("a", 1), token="next")).token == "next"
    assert parse_page(page(("a", 1))).token == ""
    assert parse_page(page()).objects == []


BOMB = b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><ListBucketResult><Name>&b;</Name></ListBucketResult>"


@pytest.mark.parametrize(
    "data",
    [
        page(("", 1)),
        page(("a", -1)),
        page(("a", 10**30)),
        page(("a", 1), etag=""),
        page(("a", 1), etag="x&#13;&#10;range: bytes=0-1"),
        page(("a", 1), etag="ü"),
        page(("a", 1), etag="a b"),
        page(("a", 1), token="t").replace(b"<NextContinuationToken>t</NextContinuationToken>", b""),
        b"<html><body>Please log in</body></html>",
        b"<a>" * 40 + b"</a>" * 40,
        b"<ListBucketResult>",
        BOMB,
        b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><ListBucketResult></ListBucketResult>",
    ],
    ids=lambda data: data[-60:].decode(),
)
def test_what_is_no_listing(data: bytes) -> None:
    with pytest.raises(NotXml):
        parse_page(data)


def test_a_deep_document_is_not_followed_down() -> None:
    with pytest.raises(NotXml, match="deep"):
        read(b"<a>" * 1_000_000, lambda *_: None)


@given(
    st.lists(st.binary(min_size=1, max_size=40)),
    st.integers(1, 50),
    st.sampled_from([b"", b";name=value"]),
    st.sampled_from([b"", b"x-amz-checksum: 1\r\n"]),
)
def test_chunks_are_put_together_however_they_arrive(
    chunks: list[bytes], size: int, extension: bytes, trailer: bytes
) -> None:
    data = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + b"0\r\n" + trailer
    sent = data + b"\r\n"
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert b"".join(dechunked(iter(pieces))) == b"".join(chunks)
    with pytest.raises(Transient):
        b"".join(dechunked(iter([data[:-1]])))


@pytest.mark.parametrize("data", [b"-1\r\n", b"zz\r\n", b"\r\n", b"1" * 9 + b"\r\n", b"1\r\nab\r\n", b"1" * 5000])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(Transient):
        b"".join(dechunked(iter([data])))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAE="}, 1),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAE=", "x-amz-checksum-type": "FULL_OBJECT"}, 1),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAE=", "x-amz-checksum-type": "COMPOSITE"}, None),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAE=-2"}, None),
        ({"x-amz-checksum-crc64nvme": "AAAA"}, None),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, None),
        ({}, None),
    ],
)
def test_a_stated_checksum(headers: dict[str, str], expected: int | None) -> None:
    assert stated_crc64(Answer(200, headers)) == expected


@pytest.mark.parametrize(
    ("status", "data", "asked", "code", "words"),
    [
        (403, body("AccessDenied", "no"), GET, Exit.DENIED, "has no right to s3:GetObject on arn:aws:s3:::models/m/x"),
        (403, body("AccessDenied"), LIST, Exit.DENIED, "s3:ListBucket on arn:aws:s3:::models (prefix 'm/')"),
        (403, body("AccessDenied", "not authorized to perform: kms:Decrypt"), GET, Exit.DENIED, "kms:Decrypt"),
        (400, body("KMS.DisabledException", "it is disabled"), GET, Exit.DENIED, "kms:Decrypt on the KMS key"),
        (403, b"<html>", GET, Exit.DENIED, "s3:GetObject"),
        (403, body("InvalidAccessKeyId"), GET, Exit.DENIED, "does not know the access key (the role of the node)"),
        (403, body("SignatureDoesNotMatch"), GET, Exit.DENIED, "secret key does not fit"),
        (403, body("InvalidObjectState"), GET, Exit.DENIED, "archived"),
        (403, body("RequestTimeTooSkewed"), GET, Exit.DENIED, "clocks of this node"),
        (404, body("NoSuchBucket"), GET, Exit.NOT_FOUND, "no bucket 'models'"),
        (404, body("NoSuchBucket"), GET._replace(planned=True), Exit.NOT_FOUND, "no bucket 'models'"),
        (404, body("NoSuchKey"), GET, Exit.NOT_FOUND, "s3://models/m/x does not exist"),
        (404, b"nginx", GET, Exit.NOT_FOUND, "the answer is none of S3's"),
        (404, body("NoSuchKey"), GET._replace(planned=True), Exit.CHANGED, "is gone since it was listed"),
        (412, b"", GET, Exit.CHANGED, "has been replaced"),
        (416, b"", GET._replace(planned=True), Exit.CHANGED, "has been replaced"),
        (301, body("PermanentRedirect"), GET, Exit.UNREACHABLE, "answers status 301"),
        (400, body("BadRequest", "what?"), GET, Exit.UNREACHABLE, "answers status 400 BadRequest"),
        (501, body("NotImplemented"), GET, Exit.UNREACHABLE, "NotImplemented"),
        (200, body("InternalError"), GET, Exit.UNREACHABLE, "answers status 200"),
    ],
)
def test_refusals_say_what_and_what_to_do(*, status: int, data: bytes, asked: Asked, code: Exit, words: str) -> None:
    error = refusal(Answer(status, {}), data, asked, PLACE, ())
    assert isinstance(error, HydrationError)
    assert (error.exit_code, words in error.message, bool(error.hint)) == (code, True, True), error.message


@pytest.mark.parametrize(
    ("status", "data"),
    [(500, b""), (502, b"<html>"), (503, body("SlowDown")), (429, b""), (400, body("RequestTimeout"))],
)
def test_what_may_go_better_next_time(status: int, data: bytes) -> None:
    error = refusal(Answer(status, {"retry-after": "7"}), data, GET, PLACE, ())
    assert isinstance(error, Transient)
    assert error.delay == 7.0


def test_credentials_that_ended_are_told_from_others() -> None:
    assert isinstance(refusal(Answer(400, {}), body("ExpiredToken"), GET, PLACE, ()), Stale)


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({"x-amz-bucket-region": "us-west-2"}, b""),
        ({}, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>"),
    ],
    ids=["header", "body"],
)
def test_another_region_is_named(headers: dict[str, str], data: bytes) -> None:
    error = refusal(Answer(301 if headers else 400, headers), data, GET, PLACE, ())
    assert isinstance(error, Elsewhere)
    assert error.region == "us-west-2"
    assert "AWS_REGION=us-west-2" in error.hint


@pytest.mark.parametrize("region", ["evil.example/", "a b", "x" * 99, "eu-west-1", "@evil"])
def test_what_is_no_other_region_is_not_gone_to(region: str) -> None:
    error = refusal(Answer(301, {"x-amz-bucket-region": region, "location": "https://evil/?s"}), b"", GET, PLACE, ())
    assert not isinstance(error, Elsewhere)
    assert "points to 'https://evil/'" in str(error)


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "this node's is ahead"),
        ("Fri, 06 Nov 2099 08:49:37 GMT", "this node's is behind"),
        ("yesterday", "differ"),
        ("Sun, 99 Foo 1994 08:49:37 GMT", "differ"),
        ("", "differ"),
    ],
)
def test_clocks_that_differ(date: str, words: str) -> None:
    error = refusal(Answer(403, {"date": date}), body("RequestTimeTooSkewed"), GET, PLACE, ())
    assert words in str(error)


@given(st.integers(0, 600), st.integers(0, 600))
def test_no_answer_brings_a_secret_into_words(before: int, after: int) -> None:
    secret = "wJalr/XUtn+FEMI=" * 3
    data = body("Access" + secret, "x" * before + secret + address.encoded(secret) + "y" * after)
    answer = Answer(302, {"location": f"https://h/{secret}?{secret}", "x-amz-bucket-region": secret})
    for status in (302, 400, 403, 404, 503):
        shown = refusal(answer._replace(status=status), data, GET, PLACE, (secret, ""))
        assert secret[:6] not in str(shown) + getattr(shown, "hint", "")
