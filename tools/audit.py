"""The audit trail: who did what on the platform, the newest last.

    [LAST=50] [WHO=anna@example.com] [LOCATION=github] audit.py

The webserver adds what is done in the UI and with tokens; what is done on this machine (deploys, rollbacks,
secrets, tokens) is added by the command that does it.
"""

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from engine import Deployment, EngineError
from table import aligned

HEAD = ("when (UTC)", "who", "by", "what", "where", "outcome", "subject")
LONGEST = 80
"""Characters of a row's subject that are shown."""

_SHOW = """
SELECT json_build_array(to_char(at AT TIME ZONE 'utc', 'YYYY-MM-DD HH24:MI:SS'), who, how, action,
                        array_to_string(locations, ', '), outcome, left(subject::text, :longest))
FROM (SELECT * FROM public.trail
      WHERE (:'who' = '' OR who = :'who') AND (:'location' = '' OR :'location' = ANY (locations))
      ORDER BY id DESC LIMIT :last) AS newest
ORDER BY id;
"""
_ADD = """
SET ROLE audit;
INSERT INTO public.trail (who, how, action, locations, subject, outcome)
VALUES (:'who', 'this machine', :'action', string_to_array(:'location', ','), :'subject', :'outcome');
"""


def record(deployment: Deployment, action: str, location: str, outcome: str, **subject: str) -> None:
    """Adds a row about what was done from here; raises :class:`EngineError` where that is not possible."""
    values = {"who": whoami(), "action": action, "location": location, "outcome": outcome}
    _psql(deployment, _ADD, values | {"subject": json.dumps(subject)})


@contextmanager
def recorded(deployment: Deployment, action: str, location: str, tag: Callable[[], str]) -> Iterator[None]:
    """Adds a row about the block when it has ended, well or not; ``tag`` gives what is in force then."""
    try:
        yield
    except BaseException:
        with suppress(EngineError):  # the platform may be down: what went wrong is told, and not this
            record(deployment, action, location, "failed", tag=tag())
        raise
    record(deployment, action, location, "done", tag=tag())


def shown(deployment: Deployment, last: int = 50, who: str = "", location: str = "") -> list[tuple[str, ...]]:
    """The newest rows, in order; without what would be a command to a terminal."""
    values = {"last": str(last), "who": who, "location": location, "longest": str(LONGEST)}
    rows = [json.loads(line) for line in _psql(deployment, _SHOW, values).splitlines()]
    return [tuple("".join(one if one.isprintable() else "?" for one in cell) for cell in row) for row in rows]


def whoami() -> str:
    """Who types: of a user who became root, the one before; in CI whoever started the workflow."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("SUDO_USER") or getpass.getuser()


def _psql(deployment: Deployment, statements: str, values: dict[str, str]) -> str:
    options = ["--username=postgres", "--dbname=audit", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]
    given = [f"--set={name}={value}" for name, value in ({"ON_ERROR_STOP": "1"} | values).items()]
    return deployment.compose("exec", "-T", "postgres", "psql", *options, *given, text=statements)


def main() -> int:
    """0 when the trail was shown, else 1."""
    last = os.environ.get("LAST") or "50"
    if not last.isdecimal():
        print(f"LAST={last}: how many rows, as in LAST=50", file=sys.stderr)
        return 1
    wanted = [os.environ.get(name, "") for name in ("WHO", "LOCATION")]
    try:
        rows = shown(Deployment.here(), int(last), *wanted)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(aligned([HEAD, *rows], names=len(HEAD))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
