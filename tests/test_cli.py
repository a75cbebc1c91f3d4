"""The command `ingest`: its help, its errors, its completion, and make's targets as its aliases."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from ingest_tools.cli import cli, main
from ingest_tools.images import location_names
from ingest_tools.projects import ROOT, Project


def parsed(line: str) -> dict[str, Any]:
    """The values of a command line's options and arguments; raises ``UsageError``."""
    name, *arguments = shlex.split(line)
    with cli.make_context("ingest", [name, *arguments]) as context:
        return cli.commands[name].make_context(name, arguments, parent=context).params


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_says_what_it_does_and_has_an_example_that_is_right(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert re.match(rf"Usage: ingest {name} .*\n\n  [A-Z].*\.\n", told)
    (example,) = re.findall(r"^  Example: (?:echo .* \| )?ingest (.*)$", told, re.MULTILINE)
    assert example.split()[0] == name
    values = {"github": "zendesk"} if name in ("new-location", "remove-location") else {}
    parsed(values.get(example, example))


def test_help_lists_every_command_but_those_that_make_alone_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    listed = re.findall(r"^  ([a-z-]+)  +[A-Z]", told, re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands.keys() - {"sync"})
    assert not re.search(r"\.\.\.$", told.partition("Options:")[2], re.MULTILINE), "a summary is cut off"


NAMES = ", ".join(map(repr, location_names()))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("deploy", f"Missing argument 'LOCATION|host'. Choose from: {', '.join(location_names())}, host. See `ingest "),
        ("deploy github now", "Got unexpected extra argument (now). See `ingest deploy --help`."),
        ("deploy gitlab", f"'LOCATION|host': 'gitlab' is not one of {NAMES}, 'host'. See `ingest deploy --help`."),
        ("run gitlab", f"'gitlab' is not one of {NAMES}."),
        ("test nope", "'nope' is not one of 'tests/deployment', "),
        ("secret nope sources.nope.key", f"'nope' is not one of {NAMES}, 'platform'."),
        ("token ci --role owner", "'--role': 'owner' is not one of 'viewer', 'launcher', 'editor', 'admin'."),
        ("token ci --days 367", "'--days': 367 is not in the range 1<=x<=366."),
        ("audit --last many", "'--last': 'many' is not a valid integer range."),
        ("new-location zendesk --style cobol", "'--style': 'cobol' is not one of 'rest', 'sql', 'files', 'component'."),
        ("lock --check --upgrade", "--check changes nothing, --upgrade does: choose one."),
        ("nope", "No such command 'nope'. See `ingest --help`."),
        ("status --jso", "No such option '--jso'."),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_what_is_right(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(line)) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_where_an_environment_is_missing_make_sets_it_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Project, "python", Path("locations/github/.venv/bin/no-python"))
    for line in ("contract github", "table-docs github"):
        assert main(line.split()) == 1
        assert capsys.readouterr().err == "locations/github/.venv/bin/no-python does not exist: run `make setup`\n"


@pytest.mark.parametrize("line", ["draft crm openapi.yaml /orders", "reflect crm public.orders"])
def test_a_location_that_is_not_there_is_to_be_created_first(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(line)) == 1
    assert re.fullmatch(
        r"there is no locations/crm: `ingest new-location crm --style (rest|sql)` creates it\n", capsys.readouterr().err
    )


def test_the_shell_completes_the_names_of_locations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "_INGEST_COMPLETE": "bash_complete",
        "COMP_WORDS": "ingest deploy strip",
        "COMP_CWORD": "2",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == "plain,stripe\n"


ALIASES = {
    "ingest ONLY='github stripe' AUDIT=1 SANDBOX=0": "run --audit --live github stripe",
    "ingest": "run",
    "dev PORT=3001": "dev --port=3001",
    "change-sandbox COUNT=5": "change-sandbox --count=5",
    "up SANDBOX=1": "up --sandbox",
    "logs SERVICE='github daemon'": "logs github daemon",
    "secret LOCATION=github NAME=sources.github.access_token": "secret github sources.github.access_token",
    "analyst NAME=ana": "analyst ana",
    "analyst REVOKE=ana": "analyst ana --revoke",
    "token NAME=ci ROLE=editor LOCATIONS='github stripe' DAYS=9": (
        "token ci --role=editor --days=9 --location=github --location=stripe"
    ),
    "token REVOKE=ci": "token ci --revoke",
    "audit LAST=5 WHO='Anna B' LOCATION=github": "audit --last=5 --who=Anna B --location=github",
    "deploy LOCATION=github TESTS=0 WATCH=0": "deploy github --no-tests --no-watch",
    "deploy HOST=1": "deploy host",
    "rollback HOST=1": "rollback host",
    "rollback LOCATION=github TO='a; `b` c'": "rollback github --to=a; `b` c",
    "test ONLY='shared tests'": "test shared tests",
    "lock UPGRADE=1": "lock --upgrade",
    "new-location NAME=zendesk STYLE=component": "new-location zendesk --style=component",
    "reflect NAME=crm TABLES='public.orders public.customers'": "reflect crm public.orders public.customers",
    "affected BASE=main JSON=1": "affected --base=main --json",
}


@pytest.mark.parametrize(("target", "command"), ALIASES.items(), ids=ALIASES)
def test_a_target_of_make_is_an_alias(target: str, command: str) -> None:
    """With what was given on make's command line, word for word."""
    variables = {name: value for name, value in os.environ.items() if not name.isupper() or name in ("PATH", "HOME")}
    make = ["make", "--silent", "--assume-old=.venv/.synced", "INGEST=echo", *shlex.split(target)]
    told = subprocess.run(make, cwd=ROOT, env=variables, text=True, capture_output=True, check=True).stdout
    assert told.split() == command.split()


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: click.Context) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands["walls"], "invoke", interrupted)
    assert main(["walls"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"
