"""The Dockerfile built for real, and run as a kubelet runs it."""

from __future__ import annotations

import ast
import base64
import hashlib
import http.client
import json
import re
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.image import bases
from tests.image.conftest import FAKE_SECRET, PROJECT, REVISION
from tests.image.containers import Image
from webhook import __version__

pytestmark = pytest.mark.timeout(900)  # on a machine that never made the bases, and is busy
SITE = "usr/local/lib/python3.13/dist-packages"
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+(?:[A-Za-z0-9+/=]{20,}\s+){2}")
COMMANDS = (
    "webhook", "controller", "hydrate", "sandbox", "demo", "lint", "test", "preview", "images", "certs", "schema",
    "doctor",
)  # fmt: skip

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: nothing}}]
"""
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u-1",
        "operation": "CREATE",
        "namespace": "team-a",
        "dryRun": False,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": {
            "metadata": {"generateName": "llm-", "labels": {"workload": "multi-node-training"}},
            "spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"nvidia.com/gpu": "8"}}}]},
        },
    },
}


@pytest.fixture(scope="module")
def added(image: Image) -> dict[str, tarfile.TarInfo]:
    """What the last layer holds: all that is not the base's."""
    with tarfile.open(image.layers[-1]) as layer:
        return {member.name: member for member in layer}


def files(image: Image) -> Iterator[tuple[str, bytes]]:
    for path in image.layers:
        with tarfile.open(path) as layer:
            for member in layer:
                if member.isfile():
                    content = layer.extractfile(member)
                    assert content is not None
                    yield member.name, content.read()


class TestSettings:
    def test_runs_as_a_number_that_a_kubelet_can_tell_from_root(self, image: Image) -> None:
        assert image.settings["User"] == "65532:65532"

    def test_has_one_entry_point(self, image: Image, added: dict[str, tarfile.TarInfo]) -> None:
        assert image.settings["Entrypoint"] == ["/usr/local/bin/warmpod"]
        assert [name for name in added if name.startswith("usr/local/bin/")] == ["usr/local/bin/warmpod"]
        assert "WorkingDir" not in image.settings or image.settings["WorkingDir"] == "/"

    def test_is_labelled(self, image: Image) -> None:
        labels = {
            name.removeprefix("org.opencontainers.image."): value
            for name, value in image.settings["Labels"].items()
            if name.startswith("org.opencontainers.image.")
        }
        assert labels["version"] == __version__
        assert labels["revision"] == REVISION
        assert labels["licenses"] == "Apache-2.0"
        assert labels["source"].startswith("https://")
        assert labels["base.name"] == bases.RUNTIME
        assert {"title", "description", "documentation"} <= labels.keys()

    def test_adds_no_variables_to_the_base(self, image: Image) -> None:
        assert set(image.variables()) == {"PATH", "SSL_CERT_FILE", "LANG"}


class TestContent:
    def test_is_under_200_megabytes(self, image: Image) -> None:
        total = sum(layer.stat().st_size for layer in image.layers)
        assert total < 200_000_000, f"{total / 1e6:.0f} MB"

    def test_is_what_the_lock_says_and_nothing_else(self, image: Image) -> None:
        locked = dict(PINNED.findall((PROJECT / "requirements/runtime.txt").read_text(encoding="utf-8")))
        installed = dict(
            directory.name.removesuffix(".dist-info").rsplit("-", 1)
            for directory in (image.root / SITE).glob("*.dist-info")
        )
        assert {name.replace("_", "-"): version for name, version in installed.items()} == {
            **locked,
            "warmpod": __version__,
        }

    def test_every_file_is_one_that_a_package_records(self, image: Image) -> None:
        site = image.root / SITE
        recorded = {}
        for record in site.glob("*.dist-info/RECORD"):
            for line in record.read_text(encoding="utf-8").splitlines():
                name, digest, _ = line.rsplit(",", 2)
                recorded[name] = digest
        there = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        assert there == recorded.keys() - {name for name in recorded if name.endswith(".pyc")}
        for name, digest in recorded.items():
            if digest:
                sha256 = hashlib.sha256((site / name).read_bytes()).digest()
                assert digest == f"sha256={base64.urlsafe_b64encode(sha256).rstrip(b'=').decode()}", name

    def test_has_no_shell_and_nothing_to_install_or_build_with(self, image: Image) -> None:
        names = {path.name for path in image.root.rglob("*") if path.parent.name in {"bin", "sbin"}}
        unwanted = {"sh", "bash", "dash", "ash", "busybox", "pip", "pip3", "uv", "apt", "apt-get", "dpkg", "gcc", "ld"}
        assert not names & unwanted
        modules = {path.name for path in (image.root / SITE).iterdir()}
        assert not modules & {"pip", "setuptools", "hatchling", "pytest", "uv", "wheel"}
        assert image.python("import subprocess; subprocess.run('true', shell=True)").returncode == 1

    def test_adds_files_of_root_that_nobody_else_can_change(self, added: dict[str, tarfile.TarInfo]) -> None:
        tops = {name.split("/")[0] for name in added}
        assert tops == {"usr"}
        for name, member in added.items():
            assert (member.uid, member.gid) == (0, 0), name
            assert member.mode & 0o7022 == 0, name
            assert member.isfile() or member.isdir(), name

    def test_holds_no_secret_and_none_of_the_tests(self, image: Image) -> None:
        for name, content in files(image):
            assert FAKE_SECRET.encode() not in content, name
            assert not PRIVATE_KEY.search(content), name
            assert "/.git" not in name, name
            assert not name.startswith((f"{SITE}/tests/", f"{SITE}/image/")), name

    def test_of_the_project_holds_what_is_in_the_tree(self, image: Image) -> None:
        for directory, place in (
            ("webhook", "webhook"),
            ("certs", "certs"),
            ("policies", "webhook/shipped/policies"),
            ("manifests", "webhook/shipped/manifests"),
        ):
            here = {Path(path) for path in image.sources if path.startswith(f"{directory}/")}
            expected = {path.relative_to(directory) for path in here if path.suffix in {".py", ".yaml", ".json", ".md"}}
            there = image.root / SITE / place
            found = {path.relative_to(there) for path in there.rglob("*") if path.is_file() and path.suffix != ".pyc"}
            assert expected <= found

    def test_has_one_time_for_all_that_is_added(self, added: dict[str, tarfile.TarInfo]) -> None:
        ours = {member.mtime for name, member in added.items() if name.startswith("usr/local/lib/")}
        assert ours == {1_700_000_000}


class TestRun:
    def test_tells_its_version(self, image: Image) -> None:
        done = image.run("--version")
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["warmpod", __version__]), done.stderr

    @pytest.mark.parametrize("command", COMMANDS)
    def test_helps(self, image: Image, command: str) -> None:
        done = image.run(command, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.lower().startswith(f"usage: warmpod {command}")

    def test_the_commands_are_all(self, image: Image) -> None:
        listed = image.run("--help").stdout.partition("Commands:")[2]
        assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "} >= set(
            COMMANDS
        )

    def test_finds_nothing_to_write_to(self, image: Image) -> None:
        done = image.python(
            "import os\n"
            "print(os.getuid(), os.getgid(), os.getgroups())\n"
            "print([d for d, _, _ in os.walk('/') if not d.startswith('/proc') and os.access(d, os.W_OK)])"
        )
        assert done.stdout == "65532 65532 []\n[]\n", done.stderr

    def test_has_an_openssl_that_is_quick(self, image: Image) -> None:
        done = image.python("import ssl; print(ssl.OPENSSL_VERSION_INFO >= (3, 5))")
        assert done.stdout == "True\n", done.stderr

    def test_every_import_that_the_project_spells_can_be_had(self, image: Image) -> None:
        """Of what was dropped from the packages nothing is missed, also not by imports within functions."""
        spelled = sorted({line for path in (image.root / SITE / "webhook").rglob("*.py") for line in imports(path)})
        assert len(spelled) > 300
        program = "import json, sys\nfor line in json.load(sys.stdin): exec(line)\nprint('all')"
        command = image.command("/usr/bin/python3.13", "-IB", "-c", program)
        done = subprocess.run(command, input=json.dumps(spelled), capture_output=True, text=True, check=False)
        assert done.stdout == "all\n", done.stderr[-3000:]

    def test_every_library_loads(self, image: Image) -> None:
        libraries = [path.relative_to(image.root / SITE) for path in (image.root / SITE).rglob("*.so")]
        names = sorted(str(path).partition(".")[0].replace("/", ".") for path in libraries)
        assert len(names) > 20
        done = image.python("import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in names))
        assert done.returncode == 0, done.stderr[-3000:]

    def test_lints_and_tests_the_policies_that_it_carries(self, image: Image) -> None:
        policies = f"/{SITE}/webhook/shipped/policies"
        for command in ("lint", "test"):
            done = image.run(command, policies)
            assert done.returncode == 0, done.stderr + done.stdout

    def test_compiles_nothing_at_start(self, image: Image) -> None:
        for arguments in (["hydrate", "--help"], ["webhook", "--help"], ["controller", "--help"], ["--version"]):
            done = image.run("/usr/bin/python3.13", "-IBv", "/usr/local/bin/warmpod", *arguments, entry=False)
            read = re.findall(r"^# code object from '?([^'\n]+)", done.stderr, re.MULTILINE)
            matched = re.findall(r"^# (\S+\.pyc) matches", done.stderr, re.MULTILINE)
            assert [path for path in read if not path.endswith(".pyc")] == []
            assert len(read) + len(matched) > 20


class TestWork:
    def test_hydrates_and_hits(self, image: Image, tmp_path: Path) -> None:
        source, cache = tmp_path / "source", tmp_path / "cache"
        source.mkdir()
        (source / "model.safetensors").write_bytes(b"weights" * 100_000)
        cache.mkdir()
        cache.chmod(0o777)
        mounts = {"/mnt": source, "/srv": cache}
        results = [
            image.run("hydrate", "file:///mnt", "--cache", "/srv", mounts=mounts, writable="/srv") for _ in range(2)
        ]
        assert [done.returncode for done in results] == [0, 0], results
        [there] = cache.glob("*/current/model.safetensors")
        assert there.read_bytes() == b"weights" * 100_000
        assert there.stat().st_uid == 65532
        assert "is in the cache" in results[1].stderr

    def test_serves_reviews_over_tls_with_the_fast_engine(self, image: Image, tmp_path: Path) -> None:
        pair = tmp_path / "tls"
        pair.mkdir(mode=0o777)
        pair.chmod(0o777)
        mounts = {"/mnt": pair}
        made = image.run("certs", "issue", "/mnt", "--name", "localhost", mounts=mounts, writable="/mnt")
        assert made.returncode == 0, made.stderr
        command = image.command(
            *image.settings["Entrypoint"], "webhook", f"--policies=/{SITE}/webhook/shipped/policies",
            "--tls-cert=/mnt/tls.crt", "--tls-key=/mnt/tls.key", "--host=127.0.0.1", "--port=0",
            "--metrics-host=127.0.0.1", "--metrics-port=0", "--drain-seconds=0", mounts=mounts,
        )  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
            assert child.stderr is not None
            lines = (json.loads(line) for line in child.stderr)
            started = next(line for line in lines if line["message"] == "started")
            trust = ssl.create_default_context(cadata=(pair / "ca.crt").read_text(encoding="utf-8"))
            port = urlsplit(started["address"]).port
            connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=trust)
            connection.request("POST", "/mutate", json.dumps(REVIEW), {"Content-Type": "application/json"})
            response = json.load(connection.getresponse())["response"]
            connection.close()
            child.terminate()
            list(lines)
        assert child.returncode == 0
        assert started["celEngine"] == "cel-expr-python"
        assert response["allowed"]
        assert "/data" in base64.b64decode(response["patch"]).decode()

    def test_reaches_for_an_api_server(self, image: Image, tmp_path: Path) -> None:
        """What is left of the Kubernetes client reads a configuration and speaks HTTPS."""
        tmp_path.chmod(0o755)
        (tmp_path / "config").write_text(KUBECONFIG, encoding="utf-8")
        done = image.run("images", "--kubeconfig", "/mnt/config", mounts={"/mnt": tmp_path})
        assert done.returncode == 2
        assert "127.0.0.1:1" in done.stderr
        assert "Traceback" not in done.stderr


def imports(path: Path) -> Iterator[str]:
    """Every import of a file as a line of its own."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__":
            yield ast.unparse(node)
