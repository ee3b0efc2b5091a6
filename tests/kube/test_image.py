"""Image references as distribution/reference reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.kube import image

SHA256 = "sha256:" + "0f" * 32
SHA512 = "sha512:" + "0f" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("ubuntu.com", "docker.io/library/ubuntu.com:latest"),
        ("host:5000", "docker.io/library/host:5000"),
        ("library/ubuntu", "docker.io/library/ubuntu:latest"),
        ("vllm/vllm-openai:v0.11.0", "docker.io/vllm/vllm-openai:v0.11.0"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
        ("docker.io/library/ubuntu", "docker.io/library/ubuntu:latest"),
        ("docker.io/library/foo/bar", "docker.io/library/foo/bar:latest"),
        ("index.docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
        ("index.docker.io/vllm/x:1", "docker.io/vllm/x:1"),
        ("registry-1.docker.io/ubuntu", "registry-1.docker.io/ubuntu:latest"),
        ("docker.io:443/ubuntu", "docker.io:443/ubuntu:latest"),
        ("nvcr.io/nvidia/tritonserver:25.01-py3", "nvcr.io/nvidia/tritonserver:25.01-py3"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:c", "123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:c"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("host:5000/app", "host:5000/app:latest"),
        ("127.0.0.1:8/a/b", "127.0.0.1:8/a/b:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app:v1", "[2001:db8::1]/app:v1"),
        ("Registry/app", "Registry/app:latest"),
        ("REGISTRY.Example/app:Tag", "REGISTRY.Example/app:Tag"),
        ("under_score.com/app", "under_score.com/app:latest"),
        ("xn--n3h.com/app:xn--n3h.com", "xn--n3h.com/app:xn--n3h.com"),
        ("a__b/c---d.e", "docker.io/a__b/c---d.e:latest"),
        (f"ubuntu@{SHA256}", f"docker.io/library/ubuntu@{SHA256}"),
        (f"ubuntu:24.04@{SHA256}", f"docker.io/library/ubuntu@{SHA256}"),
        (f"ghcr.io/a/b@{SHA512}", f"ghcr.io/a/b@{SHA512}"),
        ("docker.io/" + "1a" * 32, "docker.io/library/" + "1a" * 32 + ":latest"),
        ("1A" * 32 + "/x", "1A" * 32 + "/x:latest"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128),
        ("x:_", "docker.io/library/x:_"),
        ("quay.io/" + "r" * 255, "quay.io/" + "r" * 255 + ":latest"),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    assert image.canonical(text) == expected
    assert image.canonical(expected) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("Ubuntu", "lowercase"),
        ("docker/Docker", "lowercase"),
        ("host:5000/Upper/lower:tag", "lowercase"),
        ("https://github.com/docker/docker", "repository"),
        (":tag", "repository"),
        (f"@{SHA256}", "repository"),
        ("-x", "repository"),
        ("a/-b", "repository"),
        ("a-/b", "repository"),
        ("a//b", "repository"),
        ("a/", "repository"),
        ("/a", "repository"),
        ("a..b", "repository"),
        ("a_.b", "repository"),
        ("a___b", "repository"),
        ("a b", "repository"),
        ("a\n", "repository"),
        ("ä", "repository"),
        ("<image>", "repository"),
        ("${IMAGE}", "lowercase"),
        ("$(image)", "repository"),
        ("[fc00::1]", "tag"),
        ("[fe80::1%eth0]:5000/x", "repository"),
        ("fc00::1:5000/x", "repository"),
        ("a:", "tag"),
        ("a:-b", "tag"),
        ("a:b:c", "tag"),
        ("a:b/c:d:e", "tag"),
        ("x:" + "t" * 129, "tag"),
        ("x:tag\n", "tag"),
        ("x:t\u0664", "tag"),
        ("1a" * 32, "image ID"),
        ("quay.io/" + "r" * 256, "longer than 255"),
        ("r/" * 600, "longer than 1024"),
        ("x@", "must begin with one of"),
        ("x@sha256", "must begin with one of"),
        ("x@md5:" + "0" * 32, "must begin with one of"),
        ("x@SHA256:" + "0" * 64, "must begin with one of"),
        ("x@sha256:" + "0" * 63, "64 lowercase"),
        ("x@sha256:" + "0" * 65, "64 lowercase"),
        ("x@sha256:" + "A" * 64, "64 lowercase"),
        ("x@sha512:" + "a" * 64, "128 lowercase"),
        (f"x@{SHA256}@{SHA256}", "64 lowercase"),
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_reference_is_a_value_with_a_reason(text: str, words: str) -> None:
    found = image.parse(text)
    assert isinstance(found, image.InvalidReference)
    assert words in found.reason
    assert len(found.text) <= 1024
    assert image.canonical(text) is None


def test_parts() -> None:
    found = image.parse(f"nvcr.io/nvidia/pytorch:25.01@{SHA256}")
    assert found == image.Reference("nvcr.io", "nvidia/pytorch", "25.01", SHA256)
    assert image.parse("under_score.com/app") == image.Reference("", "under_score.com/app", "latest", None)


@given(st.text(alphabet=st.sampled_from("aA0./:@-_[]%é\n"), max_size=30))
def test_any_text_is_read_or_refused_and_canonical_is_a_fixed_point(text: str) -> None:
    found = image.canonical(text)
    if found is not None:
        assert image.canonical(found) == found


PART = st.from_regex(r"\A[a-z0-9]{1,4}(?:(?:[._]|__|-{1,3})[a-z0-9]{1,4}){0,2}\Z")
TAG = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}\Z")


@given(
    st.sampled_from(["quay.io", "localhost", "h:5000", "Reg", "[::1]:5"]), st.lists(PART, min_size=1, max_size=3), TAG
)
def test_what_is_built_by_the_grammar_comes_apart_again(registry: str, parts: list[str], tag: str) -> None:
    repository = "/".join(parts)
    assert image.parse(f"{registry}/{repository}:{tag}") == image.Reference(registry, repository, tag, None)
