from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.sandbox import binaries, build

# Tests start hundreds of processes; with this set each of them would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# And pytest would rewrite the asserts of every file anew, for which it takes longer than for importing them.
sys.dont_write_bytecode = False

# A law holds, or it does not: an example that took 200 ms, or ten that took a second to draw, tell of a busy machine.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

HERE = Path(__file__).parent
LONGEST = ("cluster", "image", "hydrator", "controller", "server")
"""Directories whose files are begun first, so that no process is left alone with a long one."""


def group_of(file: Path) -> str:
    """What of the tests runs in one process: a file, or all files that share a control plane, which is started once."""
    if file.parent == HERE / "cluster" / "drills":
        return "drills"
    if file.parent == HERE / "cluster" and "Sandbox(" not in file.read_text(encoding="utf-8"):
        return "box"
    return str(file)


class Scheduler(LoadScopeScheduling):  # type: ignore[misc]  # the library has no types
    """Hands out groups. pytest-xdist's own groups (3.8.0) are lost on pytest 9.2: tests of a file came apart."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._root = config.rootpath
        self._groups: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file not in self._groups:
            self._groups[file] = group_of(self._root / file)
        return self._groups[file]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduler:
    return Scheduler(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; else as they were found."""
    rank = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: min((rank[each] for each in item.path.parents if each in rank), default=len(rank)))


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
