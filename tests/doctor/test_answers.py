"""What is read from the API server's answers: warnings, refusals, counters, settings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.doctor.installation import deployment, edited
from webhook.cli.doctor import rights
from webhook.controller import permissions
from webhook.doctor import counters, probe
from webhook.doctor.deployment import settings as settings_of
from webhook.doctor.evidence import Absent, Barred, Counters, Failed, Passage, Probe, Reply, Right, Seen
from webhook.doctor.session import Answer, warnings_of
from webhook.kube import names
from webhook.kube.pod import annotation
from webhook.policy.model import Mode
from webhook.server.status import PROBE_PREFIX
from webhook.sources import kube_api

SAID = '{"v":"1.2.3","m":"Audit","p":"d1g","n":8,"s":"ab","a":1.5}'
REPLY = Reply("1.2.3", "Audit", "d1g", 8, "ab", 1.5)


def status(code: int, message: str) -> Answer:
    return Answer(code, json.dumps({"kind": "Status", "message": message}))


def test_the_probe_is_what_the_webhook_takes_for_one() -> None:
    made = probe.pod()
    assert annotation(made, names.ANNOTATION_PROBE) is not None
    assert PROBE_PREFIX == probe.PREFIX
    assert str(Mode.AUDIT) == REPLY.mode
    assert "nvidia.com/gpu" in made["spec"]["containers"][0]["resources"]["limits"]


def test_a_reply_is_found_among_warnings() -> None:
    headers = [r'299 - "unknown field \"x\""', f"299 - {json.dumps(probe.PREFIX + SAID)}"]
    assert probe.reply(warnings_of(headers)) == REPLY
    assert probe.reply(warnings_of([", ".join(headers)])) == REPLY


@settings(deadline=None)
@given(st.lists(st.text() | st.text().map(lambda text: probe.PREFIX + text) | st.text().map(lambda t: f'299 - "{t}"')))
def test_warnings_of_others_are_no_reply(texts: list[str]) -> None:
    found = probe.reply(warnings_of(texts)) or probe.reply(texts)
    assert found is None or any("{" in one for one in texts)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("vmpnsa"), st.none() | st.booleans() | st.integers() | st.floats() | st.text()))
def test_whatever_a_reply_says_it_is_one(said: dict[str, object]) -> None:
    found = probe.reply([probe.PREFIX + json.dumps(said)])
    assert found is not None
    assert isinstance(found.mode, str)
    assert found.policies is None or isinstance(found.policies, int)


ANSWERS = {
    "answered": (Answer(201, "{}", (probe.PREFIX + SAID,)), Seen(Probe(201, "", REPLY))),
    "answered and refused by a quota": (
        Answer(403, status(403, "exceeded quota").text, (probe.PREFIX + SAID,)),
        Seen(Probe(403, "exceeded quota", REPLY)),
    ),
    "not called": (Answer(201, "{}"), Seen(Probe(201))),
    "no right": (
        status(403, 'pods is forbidden: User "x" cannot create resource "pods" in API group ""'),
        Barred("create pods in namespace ns"),
    ),
    "no namespace": (
        status(404, 'namespaces "ns" not found'),
        Failed("there is no namespace ns; name one with --probe-namespace"),
    ),
    "no account": (
        status(403, "error looking up service account"),
        Seen(Probe(403, "error looking up service account")),
    ),
}


@pytest.mark.parametrize(("answer", "look"), ANSWERS.values(), ids=ANSWERS.keys())
def test_the_answer_to_the_probe(answer: Answer, look: object) -> None:
    assert probe.judge(answer, "ns") == look


PASSAGES = {
    "the webhook's own 405": (Answer(405, "Method Not Allowed"), True),
    "it wants a token": (Answer(401, "a bearer token is required (--bearer-token-file)"), True),
    "a proxy that denies": (Answer(403, "denied destination"), None),
    "it wants a certificate": (status(503, "error trying to reach service: remote error: tls: bad certificate"), True),
    "refused": (
        status(503, "error trying to reach service: dial tcp 10.0.0.1:8443: connect: connection refused"),
        False,
    ),
    "filtered": (status(503, "error trying to reach service: dial tcp 10.0.0.1:8443: i/o timeout"), False),
    "as plain text": (Answer(503, "error trying to reach service: dial tcp 10.0.0.1:8443: i/o timeout"), False),
    "no endpoints": (status(503, 'no endpoints available for service "https:warmpod-webhook:443"'), None),
    "no Service": (status(404, 'services "warmpod-webhook" not found'), None),
    "a proxy in between": (Answer(502, "Bad Gateway"), None),
}


@pytest.mark.parametrize(("answer", "reached"), PASSAGES.values(), ids=PASSAGES.keys())
def test_the_way_through_the_service(answer: Answer, *, reached: bool | None) -> None:
    assert probe.judge_passage(answer, "ns") == Seen(Passage(answer.status, answer.message, reached))


def test_the_way_through_the_service_takes_a_right() -> None:
    refused = status(403, 'services "https:x:443" is forbidden: User "x" cannot get resource "services/proxy"')
    assert probe.judge_passage(refused, "ns") == Barred("get services/proxy in namespace ns")


METRICS = f"""\
# TYPE {counters.FAIL_OPEN} counter
{counters.FAIL_OPEN}{{name="pods.warmpod.dev",type="admit"}} 3
{counters.FAIL_OPEN}{{name="audit.pods.warmpod.dev",type="admit"}} 1e+01
{counters.FAIL_OPEN}{{name="pods.notwarmpod.dev",type="admit"}} 100
{counters.FAIL_OPEN}{{name="check.example.com",type="validating"}} 100
{counters.CALLS}{{code="200",name="pods.warmpod.dev",operation="CREATE",rejected="false",type="admit"}} 40
{counters.CALLS}{{code="503",name="pods.warmpod.dev",operation="CREATE",rejected="true",type="admit"}} 2
{counters.REJECTIONS}{{error_type="calling_webhook_error",name="pods.warmpod.dev",operation="CREATE"}} 2
{counters.CALLS}_created{{name="pods.warmpod.dev"}} 1
"""


def test_the_api_servers_counters() -> None:
    assert counters.parse(METRICS) == Counters(fail_open=13, rejections=2, calls=42)
    assert counters.parse("") == Counters()


def test_flags_and_variables_are_settings() -> None:
    told = ["controller", "--manage-webhook", "--tls-secret=mine"]
    found = edited(deployment(), "spec", "template", "spec", "containers", 1, "args", value=told)
    settings_found = settings_of(Seen(found), "controller")
    assert settings_found["WARMPOD_MANAGE_WEBHOOK"] == "true"
    assert settings_found["WARMPOD_TLS_SECRET"] == "mine"
    assert settings_found["WARMPOD_LEASE_NAME"] == names.CONTROLLER_LEASE
    assert settings_of(Absent(), "controller") == {}


def test_every_call_of_the_code_is_asked_for() -> None:
    every = rights("ns", {"WARMPOD_TLS_SECRET": "x", "WARMPOD_MANAGE_WEBHOOK": "true"})
    asked = {(one.group, one.resource, one.verb) for one in every}
    assert {*kube_api.CALLS} <= asked
    for calls in (permissions.LEASES, permissions.REGISTRATION, permissions.CERTIFICATES, permissions.RESTORATION):
        assert {(one.group, one.resource, one.verb) for one in calls} <= asked
    assert Right("", "secrets", "get", "ns", names.TLS_SECRET) in every
    assert Right("", "nodes", "patch") in every
    assert not [one for one in every if one.group == "admissionregistration.k8s.io" and one.namespace]


def test_rights_follow_the_settings() -> None:
    managed = {str(one) for one in rights("ns", {"WARMPOD_TLS_SECRET": "x", "WARMPOD_MANAGE_WEBHOOK": "true"})}
    own = {str(one) for one in rights("ns", {"WARMPOD_TLS_SECRET": "x", "WARMPOD_MANAGE_WEBHOOK": "false"})}
    foreign = {str(one) for one in rights("ns", {"WARMPOD_TLS_SECRET": ""})}
    assert "create configmaps in namespace ns" in managed - own
    assert "create secrets in namespace ns" in own - foreign
    assert foreign < own < managed
    assert {str(one) for one in rights("ns", {})} == own
