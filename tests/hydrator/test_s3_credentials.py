"""Where credentials come from, how long they last, and how forked processes get the newest."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fault_store import FaultStore
from tests.hydrator import pod_identity_agent
from tests.hydrator.pod_identity_agent import PodIdentityAgent
from tests.hydrator.scripted_s3 import error, reply, scripted
from tests.hydrator.waiting import until
from webhook.hydrator.outcome import Exit, HydrationError, Transient
from webhook.hydrator.plan import Filters
from webhook.hydrator.s3 import slot as slot_module
from webhook.hydrator.s3.access import Access, Keys
from webhook.hydrator.s3.broker import Broker
from webhook.hydrator.s3.credentials import Credentials, decode
from webhook.hydrator.s3.settings import Settings, settings_from
from webhook.hydrator.s3.slot import Slot
from webhook.hydrator.s3.source import S3Source

STATIC = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "secret"}
SESSION = (
    "<R><Credentials><AccessKeyId>AKIASTS{0}</AccessKeyId><SecretAccessKey>SECRET{0}</SecretAccessKey>"
    "<SessionToken>TOKEN{0}</SessionToken><Expiration>2099-01-01T00:00:00.000Z</Expiration></Credentials></R>"
)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[PodIdentityAgent]:
    with pod_identity_agent.running(tmp_path) as made:
        yield made


@pytest.fixture
def store(fault_store: FaultStore) -> FaultStore:
    fault_store.put("m/x", b"body")
    return fault_store


def endpoint(store: FaultStore) -> dict[str, str]:
    kept = store.environment()
    return {name: kept[name] for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION")}


def make(environ: Mapping[str, str], **flags: Any) -> S3Source:
    return S3Source("s3://models/m/", Filters(), settings_from(environ, **flags), environ)


def in_child(act: Callable[[], bool]) -> None:
    """Run it in a forked process, as the engine's workers run."""
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = act()
        finally:
            os._exit(not right)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_readers_never_see_half_a_text() -> None:
    slot = Slot()
    texts = [bytes([letter]) * size for letter, size in ((97, 9), (98, 40_000), (99, 3_000))]
    child = os.fork()
    if child == 0:
        try:
            while True:
                for text in texts:
                    slot.write(text)
        finally:
            os._exit(1)
    try:
        until(lambda: slot.stamp() != bytes(16))
        for _ in range(2_000):
            assert slot.read()[0] in texts
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        slot.close()


def test_a_text_that_was_never_finished_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "_PATIENCE", 0.05)
    slot = Slot()
    slot.write(Credentials("a", "b").encode())
    slot._memory[70] ^= 1
    with pytest.raises(Transient, match="shared memory"):
        Keys(slot).current()
    with pytest.raises(ValueError, match="do not fit"):
        slot.write(bytes(1 << 16))
    slot.close()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'["a","b","c","d"]', b"\xff"])
def test_what_is_no_credentials(data: bytes) -> None:
    with pytest.raises(ValueError, match="no credentials"):
        decode(data)


def test_keys_of_the_environment_come_first_and_start_no_process(agent: PodIdentityAgent) -> None:
    with closing(Access(agent.environment | STATIC, Settings())) as access:
        assert access._broker is None
        access.begin()
        assert Keys(access.slot).current() == Credentials("AKIASTATIC", "secret")
    assert agent.served == 0


def test_blanks_around_keys_are_those_of_a_file() -> None:
    environ = {"AWS_ACCESS_KEY_ID": " AKIA\n", "AWS_SECRET_ACCESS_KEY": "secret\n", "AWS_SESSION_TOKEN": "token\r\n"}
    with closing(Access(environ, Settings())) as access:
        access.begin()
        assert Keys(access.slot).current() == Credentials("AKIA", "secret", "token")


def test_keys_that_would_be_two_headers_are_refused() -> None:
    environ = STATIC | {"AWS_SESSION_TOKEN": "a\r\nx-evil: b"}
    with closing(Access(environ, Settings())) as access, pytest.raises(HydrationError, match="line end") as caught:
        access.begin()
    assert "evil" not in str(caught.value) + caught.value.hint


def test_nothing_is_signed_unless_wanted(store: FaultStore, agent: PodIdentityAgent) -> None:
    environ = endpoint(store) | agent.environment
    with closing(make(environ, unsigned=True)) as source:
        source.prove(source.plan())
    assert agent.served == 0
    assert all("authorization" not in request.headers for request in store.requests)


def test_pod_identity(store: FaultStore, agent: PodIdentityAgent) -> None:
    environ = endpoint(store) | agent.environment
    with closing(make(environ)) as source:
        plan = source.plan()
        source.prove(plan)
        source.tend()
        in_child(lambda: source.reader().open(plan.files[0], 0, 4).crc64 is not None)
    assert agent.served == 1
    for request in store.requests:
        assert "Credential=AKIAPOD1/" in request.headers["authorization"]
        assert request.headers["x-amz-security-token"] == "TOKEN1"


def test_credentials_are_renewed_before_they_end(store: FaultStore, agent: PodIdentityAgent) -> None:
    agent.lifetime = 3.0
    with closing(make(endpoint(store) | agent.environment)) as source:
        plan = source.plan()
        first = source._access.slot.stamp()
        agent.token_file.write_text("the kubelet has written another token")
        agent.lifetime = 3600.0

        def renewed() -> bool:
            source.tend()
            return source._access.slot.stamp() != first

        until(renewed)
        in_child(lambda: source.reader().open(plan.files[0], 0, 4).crc64 is not None)
    assert "Credential=AKIAPOD2/" in store.requests[-1].headers["authorization"]


def test_credentials_that_end_early_are_renewed_on_complaint(store: FaultStore, agent: PodIdentityAgent) -> None:
    with closing(make(endpoint(store) | agent.environment)) as source:
        plan = source.plan()
        store.fault("answer", "GET", status=400, code="ExpiredToken", times=1)

        def fails() -> bool:
            try:
                source.reader().open(plan.files[0], 0, 4)
            except Transient as error:
                return error.delay > 0 and "expired" in error.message
            return False

        in_child(fails)
        assert source._access.slot.complained()

        def renewed() -> bool:
            source.tend()
            return not source._access.slot.complained()

        until(renewed)
        assert agent.served == 2
        in_child(lambda: source.reader().open(plan.files[0], 0, 4).crc64 is not None)


def test_while_planning_credentials_are_renewed_once(store: FaultStore, agent: PodIdentityAgent) -> None:
    store.fault("answer", "LIST", status=400, code="ExpiredToken", times=1)
    with closing(make(endpoint(store) | agent.environment)) as source:
        source.plan()
        assert agent.served == 2
        store.fault("answer", "LIST", status=400, code="ExpiredToken", times=0)
        with pytest.raises(HydrationError, match="expired") as caught:
            source.plan()
        assert caught.value.exit_code == Exit.DENIED
        assert agent.served == 3


def test_keys_that_nobody_renews_are_told_at_once(store: FaultStore) -> None:
    store.fault("answer", "", status=400, code="ExpiredToken", times=0)
    with closing(make(endpoint(store) | STATIC)) as source, pytest.raises(HydrationError, match="expired") as caught:
        source.plan()
    assert caught.value.exit_code == Exit.DENIED
    assert len(store.requests) == 1


def test_an_agent_that_is_gone_is_told_when_the_credentials_are(agent: PodIdentityAgent) -> None:
    agent.lifetime = 2.0
    with closing(Access(agent.environment, Settings())) as access:
        access.begin()
        agent.status = 403
        access.tend()
        told: list[HydrationError] = []

        def ended() -> bool:
            try:
                access.tend()
            except HydrationError as error:
                told.append(error)
            return bool(told)

        until(ended)
    assert told[0].exit_code == Exit.DENIED
    assert "could not be renewed: no AWS credentials from the role that EKS Pod Identity gives" in told[0].message


@pytest.mark.parametrize(
    ("environ", "words", "hint"),
    [
        ({"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/none"}, "token file cannot be read", "'/none', which does not"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"}, "Pod Identity", "pod identity association"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": ""}, "instance metadata", "a role"),
        ({"AWS_PROFILE": "none"}, "the profile 'none'", "AWS_PROFILE"),
    ],
    ids=["no-token", "no-agent", "nothing", "no-profile"],
)
def test_no_credentials(agent: PodIdentityAgent, environ: dict[str, str], words: str, hint: str) -> None:
    merged = {name: value for name, value in (agent.environment | environ).items() if value}
    if "AWS_PROFILE" in merged:
        del merged["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    with closing(Access(merged, Settings())) as access, pytest.raises(HydrationError) as caught:
        access.begin()
    assert caught.value.exit_code == Exit.DENIED
    assert words in caught.value.message
    assert hint in caught.value.hint


def test_the_environment_of_the_process_itself(agent: PodIdentityAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in agent.environment.items():
        monkeypatch.setenv(name, value)
    with closing(Access(os.environ, Settings())) as access:
        access.begin()
    assert agent.served == 1


def test_a_profile(agent: PodIdentityAgent, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[p]\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=s\n")
    environ = agent.environment | {"AWS_PROFILE": "p", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    with closing(Access(environ, Settings())) as access:
        access.begin()
        assert Keys(access.slot).current() == Credentials("AKIAPROFILE", "s")
    assert agent.served == 0


def test_the_broker_that_is_killed_is_told(agent: PodIdentityAgent) -> None:
    with closing(Broker(agent.environment)) as broker:
        broker.wait()
        os.kill(broker._pid, signal.SIGKILL)
        with pytest.raises(HydrationError, match="has died"):
            broker.wait()


def test_the_broker_ends_with_its_parent(agent: PodIdentityAgent) -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.write(theirs, str(Broker(agent.environment)._pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    broker = int(os.read(ours, 20))
    os.close(ours)
    os.close(theirs)

    def gone() -> bool:
        try:
            return Path(f"/proc/{broker}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    until(gone)


def irsa(tmp_path: Path, url: str) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text("the.web.identity\n")
    return {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ENDPOINT_URL": "http://a-store-that-knows-no-sts.invalid",
        "HOME": str(tmp_path),
    }


def test_a_service_account_takes_its_role(store: FaultStore, tmp_path: Path) -> None:
    failing = error("IDPCommunicationError", 400)
    with scripted(lambda number, _: failing if number == 1 else reply(SESSION.format(number).encode())) as sts:
        environ = irsa(tmp_path, sts.url) | endpoint(store)
        with closing(make(environ)) as source:
            source.prove(source.plan())
            assert source._access._broker is None
    assert len(sts.heads) == 2
    assert sts.heads[0].startswith("POST / HTTP/1.1\r\n")
    assert "Credential=AKIASTS2/" in store.requests[-1].headers["authorization"]
    assert store.requests[-1].headers["x-amz-security-token"] == "TOKEN2"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            error("AccessDenied", 403, "Not authorized: the.web.identity"),
            "status 403 AccessDenied: Not authorized: [...]",
        ),
        (error("InvalidIdentityToken", 400), "InvalidIdentityToken"),
        (reply(b"<html>", 404), "status 404"),
    ],
    ids=["denied", "token", "no-sts"],
)
def test_a_role_that_is_not_given(tmp_path: Path, answer: bytes, words: str) -> None:
    with (
        scripted(lambda *_: answer) as sts,
        closing(Access(irsa(tmp_path, sts.url), Settings())) as access,
        pytest.raises(HydrationError) as caught,
    ):
        access.begin()
    assert caught.value.exit_code == Exit.DENIED
    assert words in caught.value.message
    assert "role/r of the service account (IRSA)" in caught.value.message
    assert "trust policy" in caught.value.hint


def test_a_web_identity_without_a_token(tmp_path: Path) -> None:
    environ = irsa(tmp_path, "http://127.0.0.1:1") | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/none"}
    with closing(Access(environ, Settings())) as access, pytest.raises(HydrationError) as caught:
        access.begin()
    assert "'/none', which does not exist" in caught.value.hint
