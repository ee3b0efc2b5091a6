from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs.issue import Pair, issue_authority, issue_leaf
from webhook.sandbox import binaries, build

# Tests start hundreds of processes; with this set each of them would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# And pytest would rewrite the asserts of every file anew, for which it takes longer than for importing them.
sys.dont_write_bytecode = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file share a process, and so do all that share a control plane: it is started once."""
    for item in items:
        shared = {"box", "drill_box"}.intersection(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.xdist_group(min(shared, default=item.path.stem)))


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
