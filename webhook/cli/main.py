"""The `warmpod` command: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import difflib
import importlib
import platform
from collections.abc import Mapping
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from webhook import __version__
from webhook.cli.errors import CouldNotRun, ExitCode, colour_wanted
from webhook.cli.options import option

#: name -> (where the click command is, one line for `warmpod --help`).
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("webhook.cli.demo:command", "Watch a cold vLLM pod come out warm, in under a minute."),
    "preview": ("webhook.cli.preview:command", "Show what would happen to each pod of your manifests."),
    "explain": ("webhook.cli.explain:command", "Say why a pod is as it is: cold, not changed, or pending."),
    "lint": ("webhook.cli.lint:command", "Check policy files: every problem with file, line and what to do."),
    "test": ("webhook.cli.test:command", "Run the cases that stand beside policies."),
    "audit": ("webhook.cli.audit:command", "Report what policies do to real pods, and what those in Audit would do."),
    "replay": ("webhook.cli.replay:command", "Decide recorded admissions again, by new policies."),
    "schema": ("webhook.cli.schema:command", "Print the JSON Schema of policy files, for editors and CI."),
    "sandbox": ("webhook.cli.sandbox:command", "A real control plane on this machine with Warmpod in it."),
    "images": ("webhook.cli.images:command", "Show which node holds which image and model."),
    "estimate": ("webhook.cli.estimate:command", "How long a pod takes to start, and what a warm node saves."),
    "profiles": ("webhook.cli.profiles:command", "Print the S3 client settings that suit a client and network."),
    "bake": ("webhook.cli.bake:command", "Choose what to bake into node snapshots; say what is stale."),
    "doctor": ("webhook.cli.doctor:command", "Check a live installation, and say what to do."),
    "webhook": ("webhook.cli.webhook:command", "Serve the mutating admission webhook over TLS."),
    "controller": ("webhook.cli.controller:command", "Follow the cluster, write the inventory, label nodes."),
    "hydrate": ("webhook.cli.hydrate:command", "Bring a model onto this node's disk (the init container)."),
    "certs": ("webhook.cli.certs:command", "Certificates: how they stand, rotate them, issue some."),
    "completion": ("webhook.cli.completion:command", "Print the script by which a shell completes commands."),
}

EPILOG = """\b
Every option has an environment twin WARMPOD_<OPTION>.
Exit codes: 0 ok, 1 findings, 2 could not run, 3 nothing to do.
Data goes to stdout, everything else to stderr. NO_COLOR is honoured."""


class Commands(click.Group):
    """A group that knows its subcommands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order a newcomer needs them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or answer None for a name that is not ours."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete a command's name from the table, importing none of them; options as any command does."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the ones that look like it."""
        if args and not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise CouldNotRun(
                f"there is no command {args[0]!r}",
                hint=f"did you mean `warmpod {near[0]}`?" if near else "`warmpod --help` lists the commands",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that `--help` imports none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what nobody foresaw becomes one line and exit code 2. With --debug it stays a traceback."""
        ctx.color = colour_wanted()
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            # As shells count it; click would answer 1, which says that there are findings.
            return ctx.exit(ExitCode.INTERRUPTED)
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise CouldNotRun(f"{where}{error.strerror or error}") from error
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            first_line = next(iter(str(error).splitlines()), "")
            raise CouldNotRun(
                f"{type(error).__name__}: {first_line}",
                hint="this is a defect in Warmpod; `warmpod --debug ...` shows where",
            ) from error


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message=f"warmpod {__version__} (Python {platform.python_version()})")
@option("--debug", is_flag=True, help="On an unforeseen error, show the traceback.")
def main(*, debug: bool) -> None:
    """GPU pods that start warm on Kubernetes.

    Warmpod reads policies from files and, for each GPU pod, prefers nodes that already hold its image and model,
    brings the model to the node's NVMe, mounts it, and tunes the S3 clients.
    """
    del debug


if __name__ == "__main__":
    main()
