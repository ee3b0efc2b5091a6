"""Tenant text against `allow`: one spelling, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.policy.allow import allowed, canonical_source, is_wide, pattern_fault

ACME = ("s3://acme-models/*", "file:///fsx/models/*")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("s3://acme-models/llama", "s3://acme-models/llama/"),
        ("s3://acme-models/llama/", "s3://acme-models/llama/"),
        ("s3://acme-models/a/b.c_d-e=f+g@h,i~j!k:l", "s3://acme-models/a/b.c_d-e=f+g@h,i~j!k:l/"),
        ("s3://acme-models/..dots/...", "s3://acme-models/..dots/.../"),
        ("s3://acme-models", "s3://acme-models/"),
        ("s3://acme-models/", "s3://acme-models/"),
        ("s3://abc/x", "s3://abc/x/"),
        (f"s3://{'a' * 63}/x", f"s3://{'a' * 63}/x/"),
        ("s3://with.dots.in/x", "s3://with.dots.in/x/"),
        ("s3://name--use1-az4--x-s3/x", "s3://name--use1-az4--x-s3/x/"),
        ("s3://name--usw2-lax1-az1--x-s3/x", "s3://name--usw2-lax1-az1--x-s3/x/"),
        ("s3://my-access-point-alias-s3alias/x", "s3://my-access-point-alias-s3alias/x/"),
        ("file:///fsx/models", "file:///fsx/models/"),
        ("file:///fsx", "file:///fsx/"),
        ("oci://ghcr.io/acme/llama:v1", "oci://ghcr.io/acme/llama:v1"),
        ("oci://ghcr.io/acme/llama", "oci://ghcr.io/acme/llama:latest"),
        ("oci://localhost/llama:v1", "oci://localhost/llama:v1"),
        (f"oci://r.io:5000/a/b@sha256:{'0' * 64}", f"oci://r.io:5000/a/b@sha256:{'0' * 64}"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    assert canonical_source(text) == canonical
    assert canonical_source(canonical) == canonical


HOSTILE = {
    "empty": "",
    "artifact-without-registry": "oci://acme/llama:v1",
    "artifact-of-docker-hub-by-default": "oci://llama",
    "artifact-in-upper-case": "oci://ghcr.io/Acme/llama:v1",
    "artifact-with-tag-and-digest": f"oci://ghcr.io/acme/llama:v1@sha256:{'0' * 64}",
    "artifact-with-slash": "oci://ghcr.io/acme/llama/",
    "artifact-of-another-registry-inside": "oci://index.docker.io/acme/llama:v1",
    "artifact-with-newline": "oci://ghcr.io/acme/llama:v1\n",
    "scheme-only": "s3://",
    "empty-bucket": "s3:///x",
    "other-scheme": "https://acme-models/x",
    "upper-scheme": "S3://acme-models/x",
    "no-scheme": "acme-models/x",
    "parent": "s3://acme-models/../other",
    "parent-at-end": "s3://acme-models/x/..",
    "here": "s3://acme-models/./x",
    "empty-segment": "s3://acme-models//x",
    "two-slashes-at-end": "s3://acme-models/x//",
    "userinfo": "s3://acme-models@evil/",
    "port": "s3://acme-models:80/x",
    "percent-parent": "s3://acme-models/%2e%2e/other",
    "percent-slash": "s3://acme-models/x%2fy",
    "query": "s3://acme-models/x?versionId=1",
    "fragment": "s3://acme-models/x#y",
    "backslash": "s3://acme-models/..\\other",
    "space": "s3://acme-models/a b",
    "space-after": "s3://acme-models/x ",
    "space-before": " s3://acme-models/x",
    "newline": "s3://acme-models/x\n",
    "newline-inside": "s3://acme-models/x\ny",
    "nul": "s3://acme-models/x\0",
    "escape": "s3://acme-models/\x1b[31m",
    "delete": "s3://acme-models/x\x7f",
    "cyrillic-a-in-bucket": "s3://\u0430cme-models/x",
    "fullwidth-slash": "s3://acme-models\uff0fx",
    "fullwidth-dots": "s3://acme-models/\uff0e\uff0e/x",
    "combining": "s3://acme-models/e\u0301",
    "bidi": "s3://acme-models/\u202ex",
    "surrogate": "s3://acme-models/\udc80",
    "star": "s3://acme-models/*",
    "quote": "s3://acme-models/'x'",
    "substitution": "s3://acme-models/$(PASSWORD)",
    "backtick": "s3://acme-models/`id`",
    "semicolon": "s3://acme-models/x;y",
    "pipe": "s3://acme-models/x|y",
    "upper-bucket": "s3://Acme-Models/x",
    "underscore-bucket": "s3://acme_models/x",
    "short-bucket": "s3://ab/x",
    "long-bucket": f"s3://{'a' * 64}/x",
    "dash-first": "s3://-acme/x",
    "dash-last": "s3://acme-/x",
    "dot-last": "s3://acme./x",
    "two-dots": "s3://acme..models/x",
    "dot-dash": "s3://acme.-models/x",
    "address": "s3://169.254.169.254/latest",
    "punycode": "s3://xn--acme/x",
    "reserved": "s3://sthree-acme/x",
    "directory-bucket-without-zone": "s3://name--x-s3/x",
    "directory-bucket-with-dot": "s3://na.me--use1-az4--x-s3/x",
    "too-long": f"s3://acme-models/{'x' * 1024}",
    "file-host": "file://host/x",
    "file-localhost": "file://localhost/x",
    "file-root": "file:///",
    "file-two-slashes": "file://fsx/models",
    "file-one-slash": "file:/fsx/models",
    "file-four-slashes": "file:////fsx/models",
    "file-parent": "file:///fsx/models/../..",
    "file-parent-only": "file:///..",
    "file-upper": "FILE:///fsx",
    "file-percent": "file:///fsx/%2e%2e/etc",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_no_source_and_nothing_allows_it(text: str) -> None:
    assert canonical_source(text) is None
    assert not allowed(text, ("s3://*", "file:///*", text, *ACME))


@pytest.mark.parametrize(
    ("source", "patterns", "answer"),
    [
        ("s3://acme-models/llama", ACME, True),
        ("s3://acme-models/", ACME, True),
        ("s3://acme-models", ACME, True),
        ("file:///fsx/models/llama", ACME, True),
        ("s3://acme-models-evil/llama", ACME, False),
        ("s3://acme-model/llama", ACME, False),
        ("file:///fsx/models-evil", ACME, False),
        ("file:///fsx", ACME, False),
        ("s3://acme-models/LLAMA", ("s3://acme-models/llama*",), False),
        ("s3://acme-models/llama-3", ("s3://acme-models/llama*",), True),
        ("s3://acme-models/llama", ("s3://acme-models/llama",), True),
        ("s3://acme-models/llama/", ("s3://acme-models/llama",), True),
        ("s3://acme-models/llama", ("s3://acme-models/llama/",), True),
        ("s3://acme-models/llama/3", ("s3://acme-models/llama",), False),
        ("s3://acme-models/llama-3", ("s3://acme-models/llama",), False),
        ("s3://anything/x", ("s3://*",), True),
        ("file:///x", ("s3://*",), False),
        ("s3://acme-models/x", (), False),
    ],
)
def test_allowed(source: str, patterns: tuple[str, ...], answer: bool) -> None:
    assert allowed(source, patterns) is answer


@pytest.mark.parametrize(
    "pattern",
    [
        "s3://acme/*",
        "s3://acme-*",
        "s3://a*",
        "s3://*",
        "s3://acme/x",
        "s3://acme/..*",
        "s3://acme.*",
        "file:///*",
        "file:///a/*",
    ],
)
def test_patterns_that_may_stand_in_allow(pattern: str) -> None:
    assert pattern_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    ["*", "", "s3:/x", "acme/*", "s3://acme/*/x", "s3://acme/**", "s3://acme/../*", "s3://acme//*", "file://h/*"],
)
def test_patterns_that_may_not(pattern: str) -> None:
    assert pattern_fault(pattern)


@pytest.mark.parametrize(
    ("pattern", "wide"),
    [
        ("s3://*", True),
        ("s3://acme-*", True),
        ("s3://acme/*", False),
        ("s3://acme", False),
        ("file:///*", True),
        ("file:///fsx*", True),
        ("file:///fsx/*", False),
        ("oci://*", True),
        ("oci://ghcr.io/*", True),
        ("oci://ghcr.io/acme/*", False),
        ("oci://ghcr.io/acme/llama:v1", False),
        ("oci://123456789012.dkr.ecr.us-east-1.amazonaws.com/*", False),
        ("oci://public.ecr.aws/*", True),
    ],
)
def test_wide_patterns(pattern: str, wide: bool) -> None:
    assert is_wide(pattern) is wide


@given(st.text(alphabet=st.sampled_from("s3:/file.-*%@?#\\ aA0\n\u0430"), max_size=30) | st.text(max_size=30))
def test_what_is_allowed_lies_under_the_pattern_to_the_letter(tail: str) -> None:
    for text in (tail, f"s3://acme-models{tail}", f"file:///fsx/models{tail}"):
        canonical = canonical_source(text)
        if allowed(text, ACME):
            assert canonical is not None
            assert canonical.startswith(("s3://acme-models/", "file:///fsx/models/"))
            assert ".." not in canonical.split("/")
            assert canonical.isascii()
            assert canonical.isprintable()
