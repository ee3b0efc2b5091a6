"""Which cases there are in the places that `warmpod test` was given: directories of three files, and WarmTests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from webhook.cli import cases, warm_tests
from webhook.cli.errors import CouldNotRun
from webhook.cli.trial import Trial
from webhook.sources.policy_files import SUFFIXES


def trials(places: Sequence[str], *, update: bool = False, filters: Sequence[str] = ()) -> list[Trial]:
    """Every case at or below the places, each once: by directory, then by file. Raises CouldNotRun for what is none.

    `filters` are globs of `<test>/<case>` or of `<case>`; one that fits is enough. What cannot be read passes them all.
    """
    directories = [place for place in places if not Path(place).is_file()]
    found = [cases.trial(case, update=update) for case in cases.find(directories)]
    known = {Path(trial.directory).resolve() for trial in found}
    for file in dict.fromkeys(_real(file) for place in places for file in _files(Path(place), known)):
        found += warm_tests.trials(_called(file, places))
    return [trial for trial in found if trial.is_file_at_fault or _fits(trial, filters)]


def _fits(trial: Trial, filters: Sequence[str]) -> bool:
    return not filters or any(fnmatchcase(name, glob) for glob in filters for name in (trial.name, trial.case))


def _files(place: Path, cases_: set[Path]) -> Iterator[Path]:
    """The files of WarmTests at or below a place, in name order; none hidden, none of those that make up a case."""
    if place.is_file():
        if not warm_tests.holds_tests(place):
            raise CouldNotRun(
                f"{place}: no WarmTest in it", hint="`warmpod test` takes directories, and WarmTest files"
            )
        yield place
        return
    for directory, below, names in os.walk(place):
        here = Path(directory)
        below[:] = sorted(name for name in below if not name.startswith(".") and (here / name).resolve() not in cases_)
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith(".") and here.resolve() not in cases_:
                file = here / name
                is_dead = file.is_symlink() and not file.exists()  # a test that is not there must not pass
                if (file.is_file() or is_dead) and warm_tests.holds_tests(file):
                    yield file


def _real(file: Path) -> Path:
    """The file itself, whichever way leads to it; a link that leads nowhere stays what it is."""
    return file.resolve() if file.exists() else file.absolute()


def _called(file: Path, places: Sequence[str]) -> Path:
    """The file as a person would call it who named these places."""
    for place in map(Path, places):
        outer = place.resolve()
        if file == outer:
            return place
        if file.is_relative_to(outer):
            return place / file.relative_to(outer)
    return file
