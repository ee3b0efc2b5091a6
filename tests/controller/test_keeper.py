"""A keeper against the twin of the API server: what it writes, what it leaves alone, and what it says."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from collections.abc import Callable, Coroutine, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.issue import check_pair, issue_authority, issue_leaf
from certs.rotation import Terms
from tests.controller.kube_server import until
from tests.controller.object_twin import Twin
from webhook.controller.keeper import Keeper, KeeperOptions
from webhook.controller.pair import NotWritten, PairDirectory
from webhook.kube import names
from webhook.server.tls import CertificateFiles
from webhook.sources.kube_api.failure import ApiFailure
from webhook.sources.kube_api.objects import SECRETS, WEBHOOK_CONFIGURATIONS, ObjectApi, ObjectRequest
from webhook.sources.replicas import Replicas

NAMESPACE = names.SYSTEM_NAMESPACE
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TERMS = Terms(("a.svc",), settle=timedelta(0), overlap=timedelta(0))


class World:
    """A twin with a configuration, and one replica that serves whatever the Secret holds."""

    def __init__(self, hooks: int = 2) -> None:
        self.twin = Twin()
        self.leads = True
        self.skew: float | None = None
        self.silent = False
        found = [{"name": f"{number}.warmpod.dev", "clientConfig": {}} for number in range(hooks)]
        self.twin.put(WEBHOOK_CONFIGURATIONS, "", {"metadata": {"name": "warmpod"}, "webhooks": found})

    def keeper(self, directory: Path | None = None, terms: Terms = TERMS) -> Keeper:
        options = KeeperOptions(
            namespace=NAMESPACE,
            secret=names.TLS_SECRET,
            configuration="warmpod",
            directory=directory,
            terms=terms,
            interval=0.05,
        )
        return Keeper(
            ObjectApi(self.twin), options, self.live, lambda: self.leads, lambda: self.skew, clock=lambda: NOW
        )

    async def live(self) -> Replicas:
        if self.silent:
            raise ApiFailure("list leases", "forbidden", "HTTP 403", status=403)
        content = self.content
        if "tls.key" not in content:
            return Replicas({"one": None}, known=True)
        return Replicas({"one": check_pair(content["tls.crt"], content["tls.key"], NOW).serial}, known=True)

    @property
    def secret(self) -> dict[str, Any] | None:
        return self.twin.get(SECRETS, NAMESPACE, names.TLS_SECRET)

    @property
    def content(self) -> dict[str, bytes]:
        return {key: base64.b64decode(value) for key, value in (self.secret or {}).get("data", {}).items()}

    @property
    def bundles(self) -> list[bytes]:
        found = self.twin.get(WEBHOOK_CONFIGURATIONS, "", "warmpod") or {"webhooks": []}
        return [base64.b64decode(one["clientConfig"].get("caBundle", "")) for one in found["webhooks"]]

    def annotate(self, **annotations: str) -> None:
        assert self.secret is not None
        metadata = self.secret["metadata"]
        changed = {**metadata["annotations"], **{key.replace("_", "/"): value for key, value in annotations.items()}}
        self.twin.put(SECRETS, NAMESPACE, {**self.secret, "metadata": {**metadata, "annotations": changed}})

    def fail(self, match: Callable[[ObjectRequest], bool], kind: Any, text: str = "no") -> None:
        async def before(request: ObjectRequest) -> None:
            if match(request):
                raise ApiFailure(request.what, kind, text)

        self.twin.before = before


async def settle(keeper: Keeper, most: int = 12) -> None:
    """Look until there is nothing to do at once."""
    for _ in range(most):
        if await keeper.look() > 0:
            return
    raise AssertionError("it does not come to rest")


def test_an_installation_begins_and_a_rotation_ends_without_a_pause() -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper()
        await settle(keeper)
        first = world.content
        assert world.bundles == [first["ca.crt"]] * 2
        assert keeper.condition.waiting == "nothing is due"
        assert keeper.condition.rotations.total() == 0
        world.annotate(**{"warmpod.dev_rotate": "authority"})
        await settle(keeper)
        second = world.content
        assert sorted(second) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
        assert second["ca.crt"] != first["ca.crt"]
        assert world.bundles == [second["ca.crt"]] * 2
        assert dict(keeper.condition.rotations) == {"authority": 1}
        assert world.secret is not None
        assert names.ANNOTATION_ROTATE not in world.secret["metadata"]["annotations"]
        assert keeper.condition.problem is None

    asyncio.run(scenario())


def test_who_does_not_lead_writes_nothing_but_its_pair(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World()
        world.leads = False
        keeper = world.keeper(tmp_path)
        await settle(keeper)
        assert world.secret is None
        world.leads = True
        await settle(leader := world.keeper())
        assert leader.condition.phase == "steady"
        world.leads = False
        seen = len(world.twin.seen)
        await settle(keeper)
        assert [(one.verb, one.kind) for one in world.twin.seen[seen:]] == [("get", SECRETS)]
        assert (tmp_path / "tls.crt").read_bytes() == world.content["tls.crt"]

    asyncio.run(scenario())


@pytest.mark.parametrize("verb", ["get", "patch"])
def test_without_rights_on_the_configuration_the_leaf_is_kept_and_it_is_said(verb: str) -> None:
    async def scenario() -> None:
        world = World()
        secret_name = "user system:serviceaccount:warmpod-system:warmpod"
        world.fail(lambda one: one.kind == WEBHOOK_CONFIGURATIONS and one.verb == verb, "forbidden", secret_name)
        keeper = world.keeper()
        await settle(keeper)
        first = world.content
        assert "tls.crt" in first
        assert "configuration" in (keeper.condition.problem or "")
        assert "serviceaccount" not in (keeper.condition.problem or "")
        world.annotate(**{"warmpod.dev_rotate": "leaf"})
        await settle(keeper)
        assert world.content["tls.crt"] != first["tls.crt"]
        assert world.content["ca.crt"] == first["ca.crt"]

    asyncio.run(scenario())


def test_replicas_that_cannot_be_asked_keep_the_authority_before() -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper()
        await settle(keeper)
        world.annotate(**{"warmpod.dev_rotate": "authority"})
        world.silent = True
        await settle(keeper)
        assert "old-ca.crt" in world.content
        assert "it is not known what the replicas serve" in (keeper.condition.problem or "")
        world.silent = False
        await settle(keeper)
        assert "old-ca.crt" not in world.content
        assert keeper.condition.problem is None

    asyncio.run(scenario())


@pytest.mark.parametrize(("skew", "issues"), [(-1900.0, False), (1900.0, False), (1700.0, True), (None, True)], ids=str)
def test_nothing_is_dated_by_clocks_that_are_far_apart(skew: float | None, issues: bool) -> None:
    async def scenario() -> None:
        world = World()
        world.skew = skew
        keeper = world.keeper()
        await settle(keeper)
        assert (world.secret is not None) == issues
        assert ("clock" in (keeper.condition.problem or "")) != issues
        if issues:
            served = check_pair(world.content["tls.crt"], world.content["tls.key"], NOW)
            assert served.not_before == NOW - timedelta(hours=1, seconds=skew or 0)

    asyncio.run(scenario())


def test_a_secret_of_cert_manager_is_left_alone() -> None:
    async def scenario() -> None:
        world = World()
        annotations = {"cert-manager.io/certificate-name": "warmpod"}
        metadata = {"name": names.TLS_SECRET, "annotations": annotations}
        stored = world.twin.put(
            SECRETS, NAMESPACE, {"metadata": metadata, "data": {"tls.crt": "eA==", "ca.crt": "eA=="}}
        )
        keeper = world.keeper()
        await settle(keeper)
        assert world.secret == stored
        assert world.bundles == [b"", b""]
        assert "cert-manager" in (keeper.condition.problem or "")

    asyncio.run(scenario())


def test_an_order_that_is_none_is_said_and_left() -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper()
        await settle(keeper)
        world.annotate(**{"warmpod.dev_rotate": "everything"})
        before = world.content
        await settle(keeper)
        assert world.content == before
        assert "neither leaf nor authority" in (keeper.condition.problem or "")

    asyncio.run(scenario())


def test_what_others_put_into_the_secret_stays() -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper()
        await settle(keeper)
        assert world.secret is not None
        metadata = {**world.secret["metadata"], "labels": {"team": "x"}}
        data = {**world.secret["data"], "mine": "eA=="}
        world.twin.put(SECRETS, NAMESPACE, {**world.secret, "metadata": metadata, "data": data})
        world.annotate(**{"warmpod.dev_rotate": "authority", "mine": "y"})
        await settle(keeper)
        assert world.content["mine"] == b"x"
        assert world.secret["metadata"]["labels"] == {"team": "x"}
        assert world.secret["metadata"]["annotations"]["mine"] == "y"

    asyncio.run(scenario())


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


def steps(look: Coroutine[Any, Any, float], reached: Callable[[], bool]) -> None:
    """Go on with a look until something holds; it stops before its next request."""
    while not reached():
        look.send(None)


def end(look: Coroutine[Any, Any, float]) -> float:
    while True:
        try:
            look.send(None)
        except StopIteration as done:
            return float(done.value)


def test_a_write_decided_by_what_is_no_longer_so_is_not_done() -> None:
    """Two lead. One has decided to promote; before it writes, the other renews the leaf, and its leaf stays."""
    world = World()
    one, two = world.keeper(), world.keeper()
    asyncio.run(settle(one))
    world.annotate(**{"warmpod.dev_rotate": "authority"})
    asyncio.run(one.look())  # announced
    asyncio.run(one.look())  # trusted
    asyncio.run(one.look())  # confirmed

    async def pause(_request: ObjectRequest) -> None:
        await _Turn()

    world.twin.before = pause
    late = one.look()
    steps(late, lambda: world.twin.seen[-1].verb == "update" and "old-ca.crt" in world.twin.seen[-1].body["data"])
    world.annotate(**{"warmpod.dev_rotate": "leaf"})
    assert end(two.look()) == 0
    other = world.content
    assert end(late) == 0
    assert world.content == other
    assert one.condition.rotations["authority"] == 0


@pytest.mark.parametrize("requests", [0, 1, 2, 3], ids="before request {}".format)
def test_bundles_decided_by_an_older_secret_are_not_written(requests: int) -> None:
    """Two lead. One, slow, wants a foreign authority out; the other announces the next one and has it trusted first.

    Only where the configuration is read before the Secret is the slow one's write refused wherever it was slow.
    """
    world = World()
    one, two = world.keeper(), world.keeper()
    asyncio.run(settle(one))
    foreign = issue_authority(NOW, common_name="x").certificate_pem
    hooks = [
        {"name": "a", "clientConfig": {"caBundle": base64.b64encode(world.bundles[0] + foreign).decode()}},
        {"name": "b", "clientConfig": {"caBundle": base64.b64encode(world.bundles[0]).decode()}},
    ]
    world.twin.put(WEBHOOK_CONFIGURATIONS, "", {"metadata": {"name": "warmpod"}, "webhooks": hooks})

    async def pause(_request: ObjectRequest) -> None:
        await _Turn()

    world.twin.before = pause
    late, before = one.look(), len(world.twin.seen)
    steps(late, lambda: len(world.twin.seen) == before + requests)
    world.annotate(**{"warmpod.dev_rotate": "authority"})
    end(two.look())
    end(two.look())
    end(two.look())
    assert "next-ca.crt" in world.content
    trusting = world.bundles
    assert all(world.content["next-ca.crt"] in each for each in trusting)
    end(late)
    assert world.bundles == trusting


def test_who_undoes_everything_is_not_raced() -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper()
        await settle(keeper)

        async def undo(request: ObjectRequest) -> None:
            if request.verb == "patch":
                stored = world.twin.get(WEBHOOK_CONFIGURATIONS, "", "warmpod")
                assert stored is not None
                empty = [{**one, "clientConfig": {}} for one in stored["webhooks"]]
                world.twin.put(WEBHOOK_CONFIGURATIONS, "", {**stored, "webhooks": empty})

        world.twin.after = undo
        stored = world.twin.get(WEBHOOK_CONFIGURATIONS, "", "warmpod")
        assert stored is not None
        world.twin.put(WEBHOOK_CONFIGURATIONS, "", {**stored, "webhooks": [{"name": "a", "clientConfig": {}}]})
        pauses = [await keeper.look() for _ in range(20)]
        assert all(pauses[10:])

    asyncio.run(scenario())


# --- the pair's directory


def pair(names_: tuple[str, ...] = ("a.svc",)) -> dict[str, bytes]:
    made = issue_leaf(issue_authority(NOW), names_, NOW)
    return {"tls.crt": made.certificate_pem, "tls.key": made.key_pem}


def test_every_version_is_whole_for_the_webhook_that_follows_it(tmp_path: Path) -> None:
    directory = PairDirectory(tmp_path)
    files = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    old_mask = os.umask(0o077)
    try:
        for _ in range(5):
            content = pair()
            assert directory.write(content, NOW)
            assert not directory.write(content, NOW)
            assert files.refresh(NOW)
            assert files.problem is None
            assert files.served == directory.served
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((tmp_path / "tls.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls.crt").stat().st_mode) == 0o644
    assert len(list(tmp_path.glob("..pair-*"))) == 2
    again = PairDirectory(tmp_path)  # a restart, and what a killed writer left
    (tmp_path / "..pair-killed").mkdir()
    (tmp_path / "..pair-killed.link").symlink_to("nowhere")
    assert again.write(pair(), NOW)
    assert len(list(tmp_path.glob("..pair-*"))) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"tls.crt": pair()["tls.crt"]},
        {**pair(), "tls.key": pair()["tls.key"]},
        {"tls.crt": b"x", "tls.key": b"y"},
        {"tls.crt": b"x" * 70_000, "tls.key": b"y"},
    ],
    ids=["half", "not matching", "garbage", "large"],
)
def test_a_pair_that_cannot_serve_replaces_none_that_can(tmp_path: Path, bad: dict[str, bytes]) -> None:
    directory, good = PairDirectory(tmp_path), pair()
    directory.write(good, NOW)
    with pytest.raises(NotWritten):
        directory.write(bad, NOW)
    assert not directory.write({}, NOW)
    assert (tmp_path / "tls.crt").read_bytes() == good["tls.crt"]
    assert directory.write(good, NOW) is False


def test_a_pair_that_somebody_removed_comes_back(tmp_path: Path) -> None:
    directory, good = PairDirectory(tmp_path), pair()
    directory.write(good, NOW)
    (tmp_path / "..data").unlink()
    assert directory.write(good, NOW)
    assert (tmp_path / "tls.key").read_bytes() == good["tls.key"]


def test_a_directory_that_is_not_there_is_a_problem_and_no_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World()
        keeper = world.keeper(tmp_path / "missing")
        await settle(keeper)
        assert "is the volume mounted?" in (keeper.condition.problem or "")
        assert str(tmp_path) not in (keeper.condition.problem or "")
        assert "tls.crt" in world.content
        (tmp_path / "missing").mkdir()
        await settle(keeper)
        assert keeper.condition.problem is None

    asyncio.run(scenario())


def test_a_failing_api_server_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World()
        world.fail(lambda _: True, "unreachable", "warmpod-system")
        keeper = world.keeper(tmp_path)
        task = asyncio.create_task(keeper.run())
        async with asyncio.timeout(120):
            await until(lambda: keeper.condition.problem)
            assert keeper.condition.problem is not None
            assert "warmpod-system" not in keeper.condition.problem
            world.fail(lambda _: False, "unreachable")
            await until(lambda: not keeper.condition.problem and (tmp_path / "tls.crt").exists())
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scenario())
