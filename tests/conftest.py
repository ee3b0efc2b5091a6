from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.sandbox import binaries, build

# Tests start hundreds of processes; with this set each of them would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# And pytest would rewrite the asserts of every file anew, for which it takes longer than for importing them.
sys.dont_write_bytecode = False


SHARED = ("box", "drill_box")
"""Fixtures of the session that are a control plane, which takes a tenth of a processor while it has nothing to do."""

Entered = TypeVar("Entered")


class Shared:
    """What `SHARED` fixtures have started. It ends with the last test that wants it."""

    def __init__(self) -> None:
        self._stacks: dict[str, ExitStack] = {}

    def enter(self, fixture: str, started: AbstractContextManager[Entered]) -> Entered:
        """Start it for a fixture, to be ended after what was started for that fixture later."""
        return self._stacks.setdefault(fixture, ExitStack()).enter_context(started)

    def end(self, keep: str = "") -> None:
        """End all but what was started for one of the fixtures."""
        for fixture in [each for each in self._stacks if each != keep]:
            self._stacks.pop(fixture).close()


_SHARED = pytest.StashKey[Shared]()


def _shared_by(item: pytest.Item | None) -> str:
    return min(set(SHARED).intersection(getattr(item, "fixturenames", ())), default="")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SHARED] = Shared()


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Starts what the tests of many files share."""
    found = request.config.stash[_SHARED]
    yield found
    found.end()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share a process, and so do all that share a control plane: it is started once."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_shared_by(item) or item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End a control plane after its last test: by groups, the tests that share one follow one another."""
    yield
    if _shared_by(item) and hasattr(item.config, "workerinput"):
        item.config.stash[_SHARED].end(keep=_shared_by(nextitem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before the first test, whose time limit a build would exceed."""
    wanted = any(item.get_closest_marker("cluster") for item in session.items)
    if session.config.option.collectonly or not wanted:
        return
    try:
        binaries.find()
    except binaries.MissingBinaries:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            build.build(binaries.built(), lambda line: print(f"control plane: {line}", file=sys.stderr, flush=True))


@pytest.fixture(scope="session", autouse=True)
def one_public_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no process it starts, knows the machine's authorities.

    OpenSSL would read all of them, 140 or so, for every client of an API server: 25 ms each, and most of what many
    a test of the clients takes. And what a test trusts is what that test says.
    """
    only = tmp_path_factory.mktemp("authorities") / "all.pem"
    only.write_bytes(issue_authority(datetime.now(UTC)).certificate_pem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(only))
        yield


@dataclass(frozen=True)
class Credentials:
    """A serving pair on disk, and the authority a client needs."""

    certificate: Path
    key: Path
    authority: Pair

    @property
    def authority_pem(self) -> str:
        return self.authority.certificate_pem.decode()

    def rotate(self, authority: Pair | None = None) -> Pair:
        """Write a fresh pair in place of the old one."""
        leaf = issue_leaf(authority or self.authority, ["localhost", "127.0.0.1"], datetime.now(UTC))
        self.certificate.write_bytes(leaf.certificate_pem)
        self.key.write_bytes(leaf.key_pem)
        return leaf


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    folder = tmp_path / "tls"
    folder.mkdir()
    made = Credentials(folder / "tls.crt", folder / "tls.key", issue_authority(datetime.now(UTC)))
    made.rotate()
    return made
