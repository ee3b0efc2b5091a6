"""What `warmpod lint` does with files: it gathers policies and pods, reviews them, and writes what was mended."""

from __future__ import annotations

import difflib
import errno
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from webhook.cli.errors import CouldNotRun, printable, say
from webhook.cli.findings import Findings
from webhook.cli.render import count, show
from webhook.cli.world import NoPolicies, policy_sources
from webhook.lint.check import Manifest, Manifests
from webhook.lint.lint import Report, review
from webhook.lint.mending import Mended, fixable, mend
from webhook.policy.legibility import MAX_FILE_BYTES
from webhook.policy.problem import Source
from webhook.sources.policy_files import TEST_SUFFIXES


@dataclass(frozen=True, slots=True)
class Run:
    """One run over these files: what was found, and what was mended before. `nodes` are files of `--nodes`."""

    sources: tuple[Source, ...]
    manifests: Manifests
    report: Report
    nodes: tuple[Source, ...] = ()

    def findings(self) -> Findings:
        """What there is to show."""
        mendable = frozenset(problem for problem, _ in fixable(self.report, self.sources))
        files = {source.file: source for source in (*self.sources, *self.nodes)}
        policies, documents = len(self.report.policies.policies), len(self.report.nodes.documents)
        return Findings(self.report.problems, self.report.ignored, files, mendable, policies, documents)


def gathered(places: Sequence[str]) -> tuple[Source, ...]:
    """The policy files of all places, each once. Raises CouldNotRun; NoPolicies where there is not one."""
    found: dict[str, Source] = {}
    missing: NoPolicies | None = None
    for place in places:
        try:
            for source in policy_sources(place):
                found.setdefault(os.path.realpath(source.file), _exact(source))
        except NoPolicies as error:
            missing = error
    if not found and missing is not None:
        raise missing
    return tuple(found.values())


def _exact(source: Source) -> Source:
    """The file with its line ends as they are, since it may be written again."""
    if source.refused or "\r" in source.text:
        return source
    return replace(source, text=Path(source.file).read_bytes().decode("utf-8", "surrogateescape"))


def node_files(places: Sequence[str], policies: Sequence[Source]) -> tuple[Source, ...]:
    """The files of node classes, node pools and volumes: files, directories, `-` for stdin. Raises CouldNotRun.

    A file that is read for policies is not read for these.
    """
    taken = {os.path.realpath(source.file) for source in policies}
    found: dict[str, Source] = {}
    for place in places:
        if place == "-":
            text = sys.stdin.buffer.read(MAX_FILE_BYTES + 1).decode("utf-8", "surrogateescape")
            found["-"] = Source("<stdin>", text)
            continue
        try:
            sources = policy_sources(place)
        except NoPolicies as error:
            raise CouldNotRun(f"{place}: no *.yaml or *.yml file here", hint=_NODES_HINT) from error
        except CouldNotRun as error:
            words = error.message if Path(place).is_dir() else f"{place}: {_missing(place)}"
            raise CouldNotRun(words, hint=_NODES_HINT) from error
        for source in sources:
            path = os.path.realpath(source.file)
            if path not in taken:
                found.setdefault(path, source)
    return tuple(found.values())


def _missing(place: str) -> str:
    """Why what was named is neither read as a file nor as a directory."""
    try:
        Path(place).stat()
    except OSError as error:
        return "links lead in a circle" if error.errno == errno.ELOOP else error.strerror or str(error)
    return "neither a regular file nor a directory; - reads stdin"


_NODES_HINT = "--nodes takes files and directories of EC2NodeClass, NodePool, PersistentVolume, StorageClass"


def pods(places: Sequence[str], files: Sequence[str]) -> Manifests:
    """The pods of `files`, and those of the cases beside the policies. Raises CouldNotRun for a file that is none."""
    found: list[Manifest] = []
    if files:
        from webhook.cli.documents import read_all
        from webhook.cli.previews import reviews

        found += [
            Manifest(each.source, each.sent, each.namespace, each.labels)
            for each in reviews(read_all(tuple(files)), namespace="default", labels=None, known={})
        ]
    directories = [place for place in places if Path(place).is_dir()]
    if any(_may_hold_cases(Path(place)) for place in directories):
        from webhook.cli.case_pods import pods_of_cases

        found += pods_of_cases(directories)
    return tuple(found)


def _may_hold_cases(place: Path) -> bool:
    """Whether a look for cases is worth what it takes to be able to look."""
    for directory, below, names in os.walk(place):
        if directory.endswith(("/cases", "/tests")) or any(name.endswith(TEST_SUFFIXES) for name in names):
            return True
        below[:] = [name for name in below if not name.startswith(".")]
    return False


def run(
    sources: tuple[Source, ...], manifests: Manifests, nodes: tuple[Source, ...] = (), *, heed_comments: bool
) -> Run:
    """Review the files as they are."""
    report = review(sources, manifests, nodes=nodes, heed_comments=heed_comments)
    return Run(sources, manifests, report, nodes)


def mended(before: Run, *, write: bool, heed_comments: bool) -> Run:
    """Mend what can be, and write the files, or show how they would differ. Says what was mended."""
    result = mend(before.sources, before.manifests, heed_comments=heed_comments)
    old = {source.file: source for source in before.sources}
    for source in result.sources:
        if source.text != old[source.file].text:
            if write:
                _write(source, old[source.file].text)
            else:
                show(_difference(old[source.file], source))
    _tell(result, write=write)
    if not write:
        return before
    return run(result.sources, before.manifests, before.nodes, heed_comments=heed_comments)


def _tell(result: Mended, *, write: bool) -> None:
    verb = "mended" if write else "would mend"
    for problem in result.done:
        say("note", f"{verb} {problem.file}:{problem.line}: {problem.code} {problem.message}")


def _write(source: Source, before: str) -> None:
    """Write the file aside and put it in its place, with the mode that it has; a link stays one."""
    path = Path(os.path.realpath(source.file))
    try:
        if path.read_bytes() != before.encode("utf-8", "surrogateescape"):
            raise CouldNotRun(f"{source.file}: somebody has changed it meanwhile", hint="run it again")
        mode = path.stat().st_mode
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(source.text.encode("utf-8", "surrogateescape"))
            Path(name).chmod(mode & 0o7777)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CouldNotRun(f"{source.file}: {error.strerror}: it stays as it is") from error


def _difference(before: Source, after: Source) -> str:
    lines = difflib.unified_diff(
        before.text.splitlines(), after.text.splitlines(), before.file, after.file, lineterm=""
    )
    return "".join(f"{_coloured(printable(line))}\n" for line in lines)


def _coloured(line: str) -> str:
    if line.startswith(("---", "+++")):
        return click.style(line, bold=True)
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def summary(findings: Findings, directories: Sequence[str], nodes: Sequence[str]) -> str:
    """One line: how many policies and documents, how many findings of each kind, and what to do next."""
    if not findings.policies and not findings.documents and not findings.problems:
        what = "WarmPolicy" if directories else "document of nodes or volumes"
        return f"{', '.join((*directories, *nodes))}: no {what} in these files"
    head = f"{findings.policies} {'policy' if findings.policies == 1 else 'policies'}"
    if not findings.policies and not directories:
        head = count(findings.documents, "document") + " of nodes and volumes"
    elif findings.documents:
        documents = f"{count(findings.documents, 'document')} of nodes and volumes"
        head = f"{head}, {documents}" if findings.policies else documents
    head += ": "
    if not findings.problems:
        tail = f"; {len(findings.ignored)} silenced" if findings.ignored else ""
        return f"{head}no problems{tail}"
    words = [count(findings.count("error"), "error"), count(findings.count("warning"), "warning")]
    if findings.count("info"):
        words.append(count(findings.count("info"), "info"))
    if findings.ignored:
        words.append(f"{len(findings.ignored)} silenced")
    mendable = f"; --fix mends {len(findings.fixable)} of them [*]" if findings.fixable else ""
    return f"{head}{', '.join(words)}{mendable}"
