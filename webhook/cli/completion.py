"""`warmpod completion`: the script by which a shell completes commands, options, words and paths."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

_VARIABLE = "_WARMPOD_COMPLETE"

# What the last line tells kubectl, as cobra numbers it (its shell_completions documentation).
_ONLY_THESE = ":4"
_FILES_TOO = ":0"
_DIRECTORIES = ":16"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> None:
    """Print the script by which SHELL completes `warmpod`.

    `kubectl warmpod` needs none: kubectl completes its plugins by itself, once its own completion is set up.

    \b
      source <(warmpod completion bash)                                     # ~/.bashrc, bash 4.4 and newer
      source <(warmpod completion zsh)                                      # ~/.zshrc, after compinit
      warmpod completion fish > ~/.config/fish/completions/warmpod.fish
    """  # noqa: D301 - click keeps the lines after a backspace character as they are
    from webhook.cli.main import main

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main, {}, "warmpod", _VARIABLE).source(), nl=False)


def for_kubectl() -> None:
    """Answer kubectl, which runs `kubectl_complete-warmpod WORD...` with the last word unfinished: a choice a line."""
    from webhook.cli.main import main

    *words, incomplete = sys.argv[1:] or [""]
    click.echo(answer(ShellComplete(main, {}, "kubectl warmpod", _VARIABLE).get_completions(words, incomplete)))


def answer(items: list[CompletionItem[str]]) -> str:
    """The choices as cobra's shells read them: value, tab, help; and last what else the shell may offer."""
    lines = ["\t".join(filter(None, (item.value, item.help))) for item in items if item.type == "plain"]
    kinds = {item.type for item in items}
    last = _FILES_TOO if "file" in kinds else _DIRECTORIES if "dir" in kinds else _ONLY_THESE
    return "\n".join([*lines, last])
