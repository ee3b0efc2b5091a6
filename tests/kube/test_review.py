"""Reviews in, answers out: any bytes are an AdmissionRequest or a MalformedReview, and answers keep every limit."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook.kube import Object, patch
from webhook.kube.review import DEEPEST, AdmissionRequest, Answer, MalformedReview, for_pod, parse, render

POD: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "vllm-"}, "spec": {"containers": []}}


def review(**request: Any) -> Object:
    whole = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "team-a",
        "operation": "CREATE",
        "userInfo": {"username": "jane"},
        "object": POD,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions"},
    }
    whole.update(request)
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_a_review_is_read_whole() -> None:
    request = parse(body(review(subResource="eviction", dryRun=True, name="p", oldObject={"kind": "Pod"})))
    assert request == AdmissionRequest(
        uid="u-1",
        operation="CREATE",
        namespace="team-a",
        name="p",
        kind=("", "v1", "Pod"),
        resource=("", "v1", "pods"),
        subresource="eviction",
        dry_run=True,
        object=POD,
        old_object={"kind": "Pod"},
        raw=request.raw,
    )
    assert request.raw["userInfo"] == {"username": "jane"}
    assert request.raw["options"] == {"kind": "CreateOptions"}


def test_what_is_optional_may_be_absent() -> None:
    request = parse(body({**review(), "request": {"uid": "u", "operation": "CONNECT"}}))
    assert (request.namespace, request.name, request.subresource, request.dry_run) == ("", "", "", False)
    assert (request.object, request.old_object) == (None, None)
    assert request.kind == request.resource == ("", "", "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "web-0"}, "web-0"),
        ({"object": {"metadata": {"name": "own"}}}, "own"),
        ({"object": {"metadata": {"generateName": "web-"}}}, "web-*"),
        ({"object": {"metadata": {"generateName": 7}}}, "(unnamed)"),
        ({"object": {"metadata": "x"}}, "(unnamed)"),
        ({"object": None}, "(unnamed)"),
        ({"object": None, "oldObject": {"metadata": {"name": "gone"}}}, "gone"),
    ],
    ids=str,
)
def test_display_name(changes: Object, expected: str) -> None:
    assert parse(body(review(**changes))).display_name == expected


def nested(opening: str, closing: str, levels: int) -> bytes:
    """A review whose object holds `levels` levels below the three it has itself."""
    return body(review(object={"x": 0})).replace(b'"x": 0', f'"x": {opening * levels}0{closing * levels}'.encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "the body is empty", id="empty"),
        pytest.param(b"   ", "not JSON", id="blank"),
        pytest.param(b"\xff\xfe{}", "not JSON", id="a byte order mark"),
        pytest.param(b'{"kind": "\xff"}', "not UTF-8", id="not UTF-8"),
        pytest.param(b'{"kind": "\xed\xa0\x80"}', "not UTF-8", id="an encoded surrogate"),
        pytest.param(b'{"kind": "\\ud800"}', "not JSON", id="a lone surrogate"),
        pytest.param(body(review())[:-1], "truncated", id="cut off by one byte"),
        pytest.param(body(review())[:99], "truncated", id="cut off"),
        pytest.param(body(review()) + b"{}", "trailing", id="two documents"),
        pytest.param(b"apiVersion: v1", "not JSON", id="YAML"),
        pytest.param(b'{"a": NaN}', "not JSON", id="not a number"),
        pytest.param(b'{"a": 1e999}', "not JSON", id="a huge float"),
        pytest.param(b'{"a": 1' + b"0" * 10_000 + b"}", "not JSON", id="a huge integer"),
        pytest.param(b"[" * 100_000, "nested", id="100,000 brackets"),
        pytest.param(b'{"a":' * 100_000, "nested", id="100,000 objects"),
        pytest.param(b"[" * 500 + b"]" * 500, "nested", id="500 levels"),
        pytest.param(nested("[", "]", DEEPEST), "nested", id="too deep by three"),
        pytest.param(nested('{"]]]\\"]\\\\": ', "}", DEEPEST), "nested", id="too deep behind brackets in strings"),
        pytest.param(b"[]", "the body is a JSON array", id="an array"),
        pytest.param(b"null", "the body is a JSON null", id="null"),
        pytest.param(b"7", "the body is a JSON number", id="a number"),
        pytest.param(b"{}", "apiVersion: 'admission.k8s.io/v1' is required, this is null", id="an empty object"),
        pytest.param(
            body({**review(), "apiVersion": "admission.k8s.io/v1beta1"}), "admissionReviewVersions", id="v1beta1"
        ),
        pytest.param(body({**review(), "apiVersion": ["x"]}), "this is array", id="apiVersion of a wrong type"),
        pytest.param(
            body({**review(), "kind": "Pod"}), "kind: 'AdmissionReview' is required, this is 'Pod'", id="kind"
        ),
        pytest.param(
            body({**review(), "request": None}), "request: an object is required, this is null", id="response only"
        ),
        pytest.param(body({**review(), "request": []}), "request: an object is required, this is array", id="request"),
        pytest.param(body(review(uid=None)), "request.uid: 1 to 253 characters", id="no uid"),
        pytest.param(body(review(uid="")), "request.uid: 1 to 253 characters", id="empty uid"),
        pytest.param(body(review(uid="x" * 254)), "this has 254", id="long uid"),
        pytest.param(
            body(review(uid=7)), "request.uid: text is expected, this is a JSON number", id="uid of a wrong type"
        ),
        pytest.param(body(review(operation="PATCH")), "request.operation: must be one of CREATE", id="operation"),
        pytest.param(body(review(operation=None)), "request.operation", id="no operation"),
        pytest.param(body(review(namespace={})), "request.namespace: text is expected", id="namespace"),
        pytest.param(
            body(review(kind="Pod")), "request.kind: an object is expected, this is a JSON string", id="kind text"
        ),
        pytest.param(body(review(resource={"resource": 1})), "request.resource.resource: text", id="resource"),
        pytest.param(
            body(review(object=[POD])), "request.object: an object is expected, this is a JSON array", id="object"
        ),
        pytest.param(body(review(oldObject=True)), "request.oldObject: an object is expected", id="oldObject"),
        pytest.param(body(review(dryRun="yes")), "request.dryRun: true or false", id="dryRun"),
    ],
)
def test_a_bad_call_is_refused_with_a_reason(data: bytes, words: str) -> None:
    with pytest.raises(MalformedReview) as caught:
        parse(data)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[", "]"), ('{"]}]}": ', "}"), ('{"\\\\": ', "}"), ('{"a\\"]": [', "]}")],
    ids=["[", "{]}", "{\\", "{["],
)
def test_depth_is_counted_exactly(opening: str, closing: str) -> None:
    levels = sum(opening.count(bracket) for bracket in ("[", '{"'))
    deepest = (DEEPEST - 3) // levels
    filler: list[Object] = [{}] * DEEPEST  # more brackets than the quick look lets pass
    just = nested(opening, closing, deepest).replace(b'"options"', b'"filler": %s, "options"' % body(filler))
    assert parse(just).uid == "u-1"
    beyond = nested(opening, closing, deepest + 2).replace(b'"options"', b'"filler": %s, "options"' % body(filler))
    with pytest.raises(MalformedReview, match="nested"):
        parse(beyond)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ["uid", "operation", "namespace", "name", "kind", "resource", "subResource", "object", "oldObject", "dryRun"]


def is_read_or_refused(data: bytes) -> None:
    try:
        request = parse(data)
    except MalformedReview as error:
        assert str(error)  # noqa: PT017  # either outcome is right; a refusal has words
    else:
        assert request.uid
        assert isinstance(request.display_name, str)
        msgspec.json.encode(request.raw)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    is_read_or_refused(data)


@given(st.data())
@settings(max_examples=200)
def test_a_review_with_any_field_replaced_and_any_byte_broken(data: st.DataObject) -> None:
    document = review(**data.draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2)))
    text = bytearray(body(document))
    is_read_or_refused(bytes(text))
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] = data.draw(st.integers(0, 255))
    is_read_or_refused(bytes(text))
    is_read_or_refused(bytes(text[:position]))


@given(JSON)
def test_an_object_comes_through_unchanged(value: Any) -> None:
    document = {"spec": value}
    received = parse(body(review(object=document))).object
    assert received is not None
    assert patch.equal(received, json.loads(body(document)))


def answered(answer: Answer) -> Any:
    document = json.loads(render(answer))
    assert document["apiVersion"] == "admission.k8s.io/v1"
    assert document["kind"] == "AdmissionReview"
    return document["response"]


def test_allowed_without_a_word() -> None:
    assert answered(Answer(uid="u")) == {"uid": "u", "allowed": True}


def test_a_patch_travels_with_its_type() -> None:
    operations = [{"op": "add", "path": "/metadata/labels/ä~1b", "value": "ü"}]
    response = answered(Answer(uid="u", patch=operations))
    assert response["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(response["patch"], validate=True)) == operations
    assert set(response) == {"uid", "allowed", "patch", "patchType"}


def test_a_denial_carries_no_patch() -> None:
    response = answered(Answer(uid="u", allowed=False, patch=[{"op": "remove", "path": "/a"}], message="no\nreason"))
    assert response == {"uid": "u", "allowed": False, "status": {"code": 403, "message": "no reason"}}


@pytest.mark.parametrize(
    ("warnings", "expected"),
    [
        pytest.param(("a", "b", "a"), ["a", "b"], id="said once"),
        pytest.param(("", " \n "), None, id="nothing to say"),
        pytest.param(("a\x1b[31m\r\nb\x00\x85c\u2028d",), ["a [31m b c d"], id="control characters"),
        pytest.param(("\ud800!",), ["?!"], id="a lone surrogate"),
        pytest.param(("é" * 4096,), ["é" * 4096], id="just within the total"),
        pytest.param(("é" * 4097,), ["é" * 255 + "…"], id="beyond the total"),
        pytest.param(("a" * 4000, "b" * 97), ["a" * 255 + "…", "b" * 97], id="together beyond the total"),
    ],
)
def test_warnings(warnings: tuple[str, ...], expected: list[str] | None) -> None:
    assert answered(Answer(uid="u", warnings=warnings)).get("warnings") == expected


@given(st.lists(st.text(max_size=40) | st.integers(200, 5000).map(lambda length: "w" * length), max_size=40))
@example([f"{index:04}" * 64 for index in range(17)])
def test_warnings_keep_within_what_the_api_server_passes_on(warnings: list[str]) -> None:
    sent = answered(Answer(uid="u", warnings=tuple(warnings))).get("warnings", [])
    assert sum(map(len, sent)) <= 4096
    assert len(set(sent)) == len(sent)
    assert all(text == text.strip() != "" for text in sent)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for text in sent for character in text)


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("decision", True),
        ("would-patch.v1_x", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("warmpod.dev/decision", False),
        ("-a", False),
        ("a-", False),
        ("ä", False),
        ("a\n", False),
        ("a b", False),
    ],
    ids=repr,
)
def test_audit_annotations_that_would_be_dropped_are_left_out(key: str, kept: bool) -> None:
    response = answered(Answer(uid="u", audit_annotations={key: "text \ud800"}))
    assert response.get("auditAnnotations") == ({key: "text ?"} if kept else None)


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_a_request_made_for_a_pod_is_one_the_api_server_could_send(operation: str) -> None:
    made = for_pod(POD, namespace="team-a", operation=operation, dry_run=True, user="jane", uid="u-2")
    sent = body({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": made.raw})
    assert parse(sent) == made
    assert made.display_name == "vllm-*"
    assert (made.object, made.old_object) == {
        "CREATE": (POD, None),
        "UPDATE": (POD, POD),
        "DELETE": (None, POD),
    }[operation]


@pytest.mark.parametrize("pod", [{}, {"metadata": None}, {"metadata": {"name": 7}}, {"metadata": []}], ids=str)
def test_a_request_is_made_for_an_odd_pod_too(pod: Object) -> None:
    assert for_pod(pod, namespace="n").name == ""


def test_a_named_pod_is_named_in_its_request() -> None:
    made = for_pod({"metadata": {"name": "web"}}, namespace="n")
    assert (made.name, made.raw["name"], made.display_name) == ("web", "web", "web")
