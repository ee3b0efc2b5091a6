"""Ways to S3 that are not straight: proxies, TLS that is not trusted, regions that are elsewhere."""

from __future__ import annotations

import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fault_store import Certificate, FaultStore
from tests.hydrator.scripted_s3 import error, listing, reply, scripted, trusted
from webhook.hydrator.outcome import Exit, HydrationError
from webhook.hydrator.plan import Filters
from webhook.hydrator.s3.proxy import Proxy, proxy_for
from webhook.hydrator.s3.settings import settings_from
from webhook.hydrator.s3.source import S3Source

STATIC = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "secret"}
PROXIED = reply(content_length="")
HOSTS = ["*.s3.us-east-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com"]


@pytest.fixture(scope="module")
def amazon(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """TLS as S3's hosts have it."""
    return trusted(tmp_path_factory.mktemp("amazon"), HOSTS)


def make(environ: dict[str, str], notes: list[str] | None = None, **flags: Any) -> S3Source:
    settings = settings_from(environ, **flags)._replace(attempts=2, connect_seconds=3.0)
    return S3Source("s3://models/m/", Filters(), settings, environ, (notes if notes is not None else []).append)


def refused(environ: dict[str, str], **flags: Any) -> HydrationError:
    with pytest.raises(HydrationError) as caught, closing(make(environ, **flags)) as source:
        source.plan()
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("expired", "has expired"),
        ("wrong-host", "is for another host name"),
        ("stranger", "is of an authority that is unknown to the CA bundle"),
    ],
)
def test_certificates_that_are_not_trusted(fault_store: FaultStore, certificate: Certificate, words: str) -> None:
    caught = refused(fault_store.environment(tls=True, certificate=certificate))
    assert caught.exit_code == Exit.UNREACHABLE
    assert words in caught.message


def test_without_its_bundle_a_private_authority_is_unknown(fault_store: FaultStore) -> None:
    environ = fault_store.environment(tls=True)
    del environ["AWS_CA_BUNDLE"]
    caught = refused(environ)
    assert "unknown to the system's certificate authorities" in caught.message
    assert "AWS_CA_BUNDLE" in caught.hint


@pytest.mark.parametrize(("text", "words"), [(None, "No such file"), ("hello", "no certificate in PEM")])
def test_bundles_that_are_none(fault_store: FaultStore, tmp_path: Path, text: str | None, words: str) -> None:
    bundle = tmp_path / "ca.pem"
    if text:
        bundle.write_text(text)
    caught = refused(fault_store.environment(tls=True) | {"AWS_CA_BUNDLE": str(bundle)})
    assert words in caught.message


def test_tls_where_there_is_none(fault_store: FaultStore) -> None:
    caught = refused(fault_store.environment() | {"AWS_ENDPOINT_URL_S3": fault_store.url.replace("http:", "https:")})
    assert caught.exit_code == Exit.UNREACHABLE
    assert "write http://" in caught.hint


def test_no_tls_where_it_is_wanted(fault_store: FaultStore) -> None:
    plain = fault_store.tls_url().replace("https:", "http:")
    assert refused(fault_store.environment() | {"AWS_ENDPOINT_URL_S3": plain}).exit_code == Exit.UNREACHABLE


def test_a_proxy_passes_tls_on(amazon: tuple[ssl.SSLContext, Path]) -> None:
    with scripted(lambda number, _: listing(("m/x", 3)) if number else PROXIED, amazon[0], proxy=True) as proxy:
        environ = STATIC | {"AWS_CA_BUNDLE": str(amazon[1]), "HTTPS_PROXY": f"http://me:pa%20ss@127.0.0.1:{proxy.port}"}
        with closing(make(environ)) as source:
            assert [file.path for file in source.plan().files] == ["x"]
    target = "models.s3.us-east-1.amazonaws.com:443"
    authorization = "proxy-authorization:Basic bWU6cGEgc3M="
    assert proxy.connects == [f"CONNECT {target} HTTP/1.1\r\nhost:{target}\r\n{authorization}"]
    assert "proxy-authorization" not in proxy.heads[0]


def test_a_proxy_is_asked_in_full_without_tls() -> None:
    with scripted(lambda *_: listing(("m/x", 3))) as proxy:
        environ = STATIC | {
            "AWS_ENDPOINT_URL": "http://store.invalid:81",
            "http_proxy": f"me:pass@127.0.0.1:{proxy.port}",
        }
        with closing(make(environ)) as source:
            source.plan()
    assert proxy.heads[0].startswith("GET http://store.invalid:81/models/?")
    assert "host:store.invalid:81\r\n" in proxy.heads[0]
    assert "proxy-authorization:Basic bWU6cGFzcw==" in proxy.heads[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(status=407), "wants a user and password, others than it was given"),
        (reply(status=403), "refuses to connect to models.s3.us-east-1.amazonaws.com:443: status 403"),
        (reply(status=502), "does not reach models.s3.us-east-1.amazonaws.com:443: status 502"),
        (b"HELO\r\n\r\n", "does not speak HTTP"),
        (b"", "broke off"),
    ],
    ids=["407", "403", "502", "garbage", "closed"],
)
def test_a_proxy_that_refuses(answer: bytes, words: str) -> None:
    with scripted(lambda *_: answer, proxy=True) as proxy:
        caught = refused(STATIC | {"HTTPS_PROXY": f"http://me:hunter2@127.0.0.1:{proxy.port}"})
    assert caught.exit_code == Exit.UNREACHABLE
    assert words in caught.message
    assert f"the proxy 127.0.0.1:{proxy.port}" in caught.message
    assert "hunter2" not in caught.message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1", "the proxy 127.0.0.1:1 cannot be connected to"),
        ("http://no.invalid", "the proxy 'no.inv"),
    ],
)
def test_a_proxy_that_is_not_there(url: str, words: str) -> None:
    caught = refused(STATIC | {"HTTPS_PROXY": url})
    assert words in caught.message
    assert "HTTPS_PROXY" in caught.hint


@pytest.mark.parametrize(
    "url", ["https://p:1", "socks5://me:hunter2@p:1", "http://", "http://me:hunter2@p:port", "http://[me:hunter2"]
)
def test_a_proxy_that_cannot_be_one(url: str) -> None:
    caught = refused(STATIC | {"HTTPS_PROXY": url})
    assert caught.exit_code == Exit.USAGE
    assert "hunter2" not in caught.message + caught.hint


HTTPS = {"HTTPS_PROXY": "http://p:1"}


@pytest.mark.parametrize(
    ("environ", "host", "expected"),
    [
        ({}, "s3.example", None),
        (HTTPS, "s3.example", Proxy("p", 1, "")),
        (HTTPS | {"https_proxy": "http://q"}, "s3.example", Proxy("q", 80, "")),
        ({"ALL_PROXY": "q:8"}, "s3.example", Proxy("q", 8, "")),
        ({"HTTP_PROXY": "http://p:1"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "*"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "a,s3.example"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "a .example"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "*.example"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "EXAMPLE"}, "s3.example.", None),
        (HTTPS | {"NO_PROXY": "s3.example:443"}, "s3.example", None),
        (HTTPS | {"NO_PROXY": "s3.example:444"}, "s3.example", Proxy("p", 1, "")),
        (HTTPS | {"NO_PROXY": "3.example"}, "s3.example", Proxy("p", 1, "")),
        (HTTPS | {"NO_PROXY": "10.0.0.0/8"}, "10.1.2.3", None),
        (HTTPS | {"NO_PROXY": "10.0.0.0/8"}, "11.1.2.3", Proxy("p", 1, "")),
        (HTTPS | {"NO_PROXY": "fd00::/8,[::1]"}, "fd00::1", None),
        (HTTPS | {"NO_PROXY": "fd00::/8,[::1]:443"}, "::1", None),
        (HTTPS | {"NO_PROXY": "10.0.0.0/x,,:,/"}, "10.1.2.3", Proxy("p", 1, "")),
    ],
)
def test_who_is_asked_through_a_proxy(environ: dict[str, str], host: str, expected: Proxy | None) -> None:
    assert proxy_for(environ, tls=True, host=host, port=443) == expected


def test_a_proxy_does_not_show_its_password() -> None:
    proxy = proxy_for({"HTTPS_PROXY": "http://me:hunter2@p:1"}, tls=True, host="h", port=443)
    assert f"{proxy} {proxy!r}" == "p:1 p:1"


@pytest.mark.parametrize(
    "away",
    [
        error("PermanentRedirect", 301, x_amz_bucket_region="eu-west-1", location="https://evil.example/"),
        error("AuthorizationHeaderMalformed", 400, extra="<Region>eu-west-1</Region>"),
        error("TemporaryRedirect", 307, x_amz_bucket_region="eu-west-1"),
    ],
    ids=["301", "400", "307"],
)
@pytest.mark.parametrize("region", ["us-east-1", ""])
def test_a_bucket_in_another_region_is_found_once(
    amazon: tuple[ssl.SSLContext, Path], away: bytes, region: str
) -> None:
    def answer(_: int, head: str) -> bytes:
        return listing(("m/x", 3)) if "models.s3.eu-west-1.amazonaws.com" in head else away

    with scripted(lambda number, head: PROXIED if not number else answer(number, head), amazon[0], proxy=True) as s3:
        environ = STATIC | {"AWS_CA_BUNDLE": str(amazon[1]), "HTTPS_PROXY": f"127.0.0.1:{s3.port}"}
        notes: list[str] = []
        with closing(make(environ | ({"AWS_REGION": region} if region else {}), notes)) as source:
            assert len(source.plan().files) == 1
            source.plan()
    assert "/eu-west-1/s3/aws4_request" in s3.heads[-1]
    assert [head.partition(" HTTP")[0] for head in s3.connects] == [
        f"CONNECT models.s3.{one}.amazonaws.com:443" for one in ("us-east-1", "eu-west-1", "eu-west-1")
    ]
    assert len(notes) == 1
    assert ("billed" if region else "AWS_REGION=eu-west-1 saves") in notes[0]


def test_regions_that_point_at_each_other_are_not_followed_for_ever(amazon: tuple[ssl.SSLContext, Path]) -> None:
    def answer(number: int, head: str) -> bytes:
        other = "us-east-1" if "eu-west-1" in head else "eu-west-1"
        return error("PermanentRedirect", 301, x_amz_bucket_region=other) if number else PROXIED

    with scripted(answer, amazon[0], proxy=True) as s3:
        environ = STATIC | {"AWS_CA_BUNDLE": str(amazon[1]), "HTTPS_PROXY": f"127.0.0.1:{s3.port}"}
        caught = refused(environ)
    assert "in region 'us-east-1', but it was asked for in 'eu-west-1'" in caught.message
    assert len(s3.heads) == 2


@pytest.mark.parametrize("region", ["cn-north-1", "eu-west-1.evil.example"])
def test_another_partition_is_not_gone_to(amazon: tuple[ssl.SSLContext, Path], region: str) -> None:
    away = error("PermanentRedirect", 301, x_amz_bucket_region=region)
    with scripted(lambda number, _: away if number else PROXIED, amazon[0], proxy=True) as s3:
        environ = STATIC | {"AWS_CA_BUNDLE": str(amazon[1]), "HTTPS_PROXY": f"127.0.0.1:{s3.port}"}
        assert refused(environ).exit_code == Exit.UNREACHABLE
    assert len(s3.heads) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_credentials_are_not_taken_to_another_host(status: int) -> None:
    with scripted(lambda *_: reply()) as other:
        away = reply(status=status, location=f"{other.url}/models/?secret=1", x_amz_bucket_region="eu-west-1")
        with scripted(lambda *_: away) as s3:
            caught = refused(STATIC | {"AWS_ENDPOINT_URL_S3": s3.url})
        assert other.connections == 0
    assert caught.exit_code == Exit.UNREACHABLE
    assert "AWS_REGION=eu-west-1, and an endpoint of that region" in caught.hint
    assert len(s3.heads) == 1
