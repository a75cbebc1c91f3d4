"""`ingest`: one command for everything in this repository. `ingest --help` lists its subcommands.

The exit code is 0 if a command succeeded, 1 if it failed, 2 if its command line is wrong, and 130 after Ctrl-C. An
error is one line on standard error.
"""

import sys
from pathlib import Path
from types import ModuleType

import click

from ingest_tools import (
    access,
    activate,
    affected,
    analyst,
    audit,
    bench_locations,
    bench_platform,
    check,
    contract,
    dev,
    documents,
    draft,
    lock,
    new_location,
    reflect,
    remove_location,
    run,
    run_tests,
    sandbox,
    secret,
    status,
    sync,
    up,
    walls,
)
from ingest_tools.local import Refused, end_in_order

SECTIONS = {
    "Run": (run, dev, sandbox),
    "The platform, on a Docker engine": (up, status, activate, secret, access, analyst, audit),
    "Work on it": (
        new_location,
        remove_location,
        draft,
        reflect,
        run_tests,
        check,
        lock,
        contract,
        documents,
        affected,
        walls,
        sync,
    ),
    "Measure it": (bench_platform, bench_locations),
}


def commands(*modules: ModuleType) -> list[click.Command]:
    """The commands of the modules, in the order of their definition."""
    return [one for module in modules for one in vars(module).values() if isinstance(one, click.Command)]


class Sections(click.Group):
    """Lists its commands by purpose."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, modules in SECTIONS.items():
            shown = [one for one in commands(*modules) if not one.hidden]
            with formatter.section(title):
                formatter.write_dl([(f"{one.name:<{width}}", one.get_short_help_str(formatter.width)) for one in shown])


@click.group(
    cls=Sections,
    commands=[one for modules in SECTIONS.values() for one in commands(*modules)],
    invoke_without_command=True,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 120},
    epilog="Each command's help has an example: ingest deploy --help",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Many dlt sources, many teams, one Dagster."""
    if not context.invoked_subcommand:
        print(context.get_help())


def _sentence(text: str) -> str:
    """A message of Click's in one line, with its full stop."""
    line = " ".join(text.split())
    return line if line.endswith((".", "?", "?)")) else f"{line}."


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line, by default the process's own, and returns the exit code."""
    end_in_order()
    try:
        return cli.main(arguments, "ingest", standalone_mode=False) or 0
    except Refused as error:
        said, code = str(error), error.code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "ingest"
        said, code = f"{_sentence(error.format_message())} See `{where} --help`.", error.exit_code
    except FileNotFoundError as error:
        if ".venv" not in Path(str(error.filename)).parts:
            raise
        said, code = f"{error.filename} does not exist: run `make setup`", 1
    except click.Abort:
        said, code = "stopped", 130
    print(said, file=sys.stderr)
    return code
