"""`warmpod certs issue`: files that serve, keys that only their owner reads, an authority that stays."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from certs.issue import check_pair
from webhook.cli.main import main


def issue(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["certs", "issue", str(directory), *arguments])


def served(directory: Path, authority: bytes | None = None) -> tuple[str, ...]:
    """The names of the pair in a directory, once it is proven to be good."""
    certificate, key = ((directory / name).read_bytes() for name in ("tls.crt", "tls.key"))
    ca = authority or (directory / "ca.crt").read_bytes()
    return check_pair(certificate, key, datetime.now(UTC), authority_pem=ca).names


def test_a_new_directory_gets_a_pair_that_serves(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    result = issue(directory, "--name", "127.0.0.1", "--name", "webhook.example.svc")
    assert result.exit_code == 0, result.output
    assert set(served(directory)) == {"127.0.0.1", "webhook.example.svc"}
    assert sorted(path.name for path in directory.iterdir()) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    for name in ("ca.key", "tls.key"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


def test_what_is_there_is_replaced_only_by_force_and_by_the_same_authority(tmp_path: Path) -> None:
    issue(tmp_path, "--name", "a.example")
    authority, before = (tmp_path / "ca.crt").read_bytes(), (tmp_path / "tls.crt").read_bytes()
    refused = issue(tmp_path, "--name", "b.example")
    assert refused.exit_code == 2
    assert "tls.crt is there already" in refused.output
    assert (tmp_path / "tls.crt").read_bytes() == before
    assert issue(tmp_path, "--name", "b.example", "--force").exit_code == 0
    assert served(tmp_path, authority) == ("b.example",)


@pytest.mark.parametrize("name", ["", "not a name", "-x", "a..b", "x" * 300])
def test_a_bad_name_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    result = issue(tmp_path / "new", "--name", name)
    assert result.exit_code == 2
    assert "hint: --name takes a DNS name or an IP address" in result.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("lost", ["ca.crt", "ca.key"])
def test_half_an_authority_is_not_replaced(tmp_path: Path, lost: str) -> None:
    issue(tmp_path, "--name", "a.example")
    (tmp_path / lost).unlink()
    result = issue(tmp_path, "--name", "a.example", "--force")
    assert result.exit_code == 2
    assert f"the authority in {tmp_path} cannot sign" in result.output
    assert not (tmp_path / lost).exists()
