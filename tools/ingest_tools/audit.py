"""The audit trail: who did what on the platform, newest last.

The webserver records what is done in the UI and with tokens. What is done on this machine (deploys, rollbacks,
secrets, tokens) is recorded by the command that does it.
"""

import getpass
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import click

from ingest_tools.engine import Deployment, EngineError
from ingest_tools.local import Refused
from ingest_tools.options import LOCATIONS, to_json
from ingest_tools.table import aligned

FIELDS = ("when", "who", "by", "what", "where", "outcome", "subject")
Subject = dict[str, str]
"""What a row is about, by name: the tag of a deploy, the name of a secret."""
HERE = "this machine"
LONGEST = 80
"""How many characters of the subject of a request to the webserver are shown: it may be of any length."""

_SHOW = """
SELECT json_build_array(to_char(at AT TIME ZONE 'utc', 'YYYY-MM-DD HH24:MI:SS'), who, how, action,
                        array_to_string(locations, ', '), outcome, subject::text)
FROM (SELECT * FROM public.trail
      WHERE (:'who' = '' OR who = :'who') AND (:'location' = '' OR :'location' = ANY (locations))
      ORDER BY id DESC LIMIT :last) AS newest
ORDER BY id;
"""
_ADD = """
SET ROLE audit;
INSERT INTO public.trail (who, how, action, locations, subject, outcome)
VALUES (:'who', :'how', :'action', string_to_array(:'location', ','), :'subject', :'outcome');
"""


def record(deployment: Deployment, action: str, location: str, outcome: str, **subject: str) -> None:
    """Adds a row about what was done from here; raises :class:`EngineError` if that is not possible."""
    values = {"who": whoami(), "how": HERE, "action": action, "location": location, "outcome": outcome}
    _psql(deployment, _ADD, values | {"subject": json.dumps(subject)})


@contextmanager
def recorded(deployment: Deployment, action: str, location: str, subject: Callable[[], Subject]) -> Iterator[None]:
    """Adds a row about the block once it has ended: done, or refused or failed and why.

    ``subject`` says what it was about.
    """
    try:
        yield
    except BaseException as error:
        outcome = "refused" if type(error) is Refused else "failed"  # the platform's own errors are kinds of it
        with suppress(EngineError):  # the platform may be down: report what went wrong first
            record(deployment, action, location, outcome, **subject(), why=str(error) or type(error).__name__)
        raise
    record(deployment, action, location, "done", **subject())


def shown(deployment: Deployment, last: int = 50, who: str = "", location: str = "") -> list[tuple[str, ...]]:
    """The newest rows, in order."""
    values = {"last": str(last), "who": who, "location": location}
    # Not splitlines(): it also divides a row at U+2028 and its like, which are as they are in JSON.
    return [tuple(json.loads(line)) for line in _psql(deployment, _SHOW, values).split("\n") if line]


def refusal(deployment: Deployment, location: str) -> str:
    """Why the latest deploy or rollback of a location was refused or failed; empty if it was not, or if no row says."""
    rows = [dict(zip(FIELDS, row, strict=True)) for row in shown(deployment, location=location)]
    swaps = [row for row in rows if row["what"] in ("deploy", "rollback")]
    return str(json.loads(swaps[-1]["subject"]).get("why", "")) if swaps else ""


def whoami() -> str:
    """Who runs the command: behind sudo, the original user; in CI, whoever started the workflow."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("SUDO_USER") or getpass.getuser()


def _psql(deployment: Deployment, statements: str, values: dict[str, str]) -> str:
    options = ["--username=postgres", "--dbname=audit", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]
    given = [f"--set={name}={value}" for name, value in ({"ON_ERROR_STOP": "1"} | values).items()]
    return deployment.psql(*options, *given, text=statements)


@click.command(epilog="Example: ingest audit --last 20 --location github")
@click.option("--last", type=click.IntRange(1), default=50, show_default=True, help="How many rows to show.")
@click.option("--who", default="", help="Show only what this person or token did.")
@click.option("--location", type=LOCATIONS, help="Show only what was done to this location.")
@to_json
def audit_command(last: int, who: str, location: str | None, *, as_json: bool) -> None:
    """Show who did what on the platform, newest last."""
    rows = shown(Deployment.here(), last, who, location or "")
    if as_json:
        print(json.dumps([dict(zip(FIELDS, row, strict=True)) for row in rows]))
        return
    print("\n".join(table(rows)))


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as lines below a head. What was done from here is shown in full: it says why it was refused."""
    head = ("when (UTC)", *FIELDS[1:])
    by = FIELDS.index("by")
    return aligned(
        [head, *((*row[:-1], row[-1] if row[by] == HERE else row[-1][:LONGEST]) for row in rows)], names=len(head)
    )
