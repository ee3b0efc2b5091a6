"""The rates that placement is weighed by come from the figures, wherever they are written."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from webhook.admission.decision import Settings
from webhook.cli.main import main
from webhook.cost.figures import figure
from webhook.cost.hydration import fetch_bound
from webhook.kube.accelerator import Accelerators
from webhook.kube.podsecurity import Level

ROOT = Path(__file__).parents[2]
IMAGE, MODEL = figure("pull.containerd").likely, fetch_bound(None).rate


def test_settings_take_them() -> None:
    settings = Settings(hydrator_image="", accelerators=Accelerators([], []), default_level=Level.BASELINE)
    assert (settings.image_bytes_per_second, settings.model_bytes_per_second) == (IMAGE, MODEL)


@pytest.mark.parametrize("name", ["webhook", "controller"])
def test_so_do_the_options(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    found = {option.name: option.default for option in command.params}
    assert (found["image_bytes_per_second"], found["model_bytes_per_second"]) == (IMAGE, MODEL)


@pytest.mark.parametrize("page", ["webhook", "controller"])
def test_so_do_the_pages(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    rows = re.findall(r"`--(image|model)-bytes-per-second`[^|]*\|[^|]*\| ([0-9e]+) \|", text)
    assert [(kind, float(value)) for kind, value in rows] == [("image", IMAGE), ("model", MODEL)]
