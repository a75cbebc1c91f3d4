"""Seeded text as people write it: other scripts, emoji, quotes, line ends, a rare NUL."""

from base64 import b64encode
from random import Random

_FIRST = (
    *("Ada", "Grace", "Linus", "Margaret", "Noël", "Zoë", "Jürgen", "Søren", "Łukasz", "İpek"),
    *("Chloé", "Ngọc", "明", "さくら", "Олена", "Rahul", "Amira", "Wanjiru", "Tomás", "Björk"),
)
_LAST = (
    *("O'Brien", "Müller", "García", "Østergård", "Nguyễn", "王", "田中", "Шевченко", "Patel"),
    *("Haddad", "Kamau", "Dvořák", "Smith", "Jónsdóttir", "Rossi", "Kowalska"),
)
_AREAS = (
    *("import", "export", "login", "search", "billing", "webhook"),
    *("cache", "scheduler", "upload", "sidebar", "parser"),
)
_FAULTS = (
    "fails on empty input",
    "is slow with 10,000 rows",
    'says "undefined" twice',
    "loses rows after a retry 🤔",
    "crashes on Windows paths like C:\\temp\\new",
    "ignores the time zone",
    "should accept naïve dates",
    "在中文环境下显示乱码",
    "breaks when the name has an apostrophe's twin ’",
    "needs a clearer message",
)
_PARAGRAPHS = (
    "Since the last release this happens on every second run. I could not find a pattern, except "
    "that it needs at least two workers and a cold cache.",
    "### Steps\r\n\r\n1. Start with an empty folder\r\n2. Run the command twice\r\n3. Look at the second output\r\n",
    '```python\nfor row in rows:\n    assert row["id"] != \'null\', f"unexpected {row!r}"\n```',
    "> It worked on my machine 🙈\n\nIt does not on mine: 3 of 5 runs end with exit code 137.",
    'Expected: the total is `1.234,56 €`.\nActual: the total is `1234.56`, and the tooltip reads "null".',
    "Das betrifft auch die deutsche Fassung: Umlaute (ä, ö, ü, ß) werden doppelt kodiert.",
    "日本語のタイトルで検索すると結果が空になります。英語では問題ありません。",
    "هذا النص يُكتب من اليمين إلى اليسار، ويجب أن يبقى كما هو.",
    "The log shows:\n\n\tat Worker.run (worker.js:42:13)\n\tat process._tickCallback "
    "(internal/process/next_tick.js:68:7)\n\nand then nothing for about thirty seconds.",
    "I am happy to send a pull request, if somebody points me at the right module. "
    "A failing test is in the linked branch.",
    "| version | result |\n|---|---|\n| 1.4 | ✅ |\n| 1.5 | ❌ |\n| main | ❌ |",
    "See also https://example.com/a?b=1&c=%20d#e and the discussion of <kbd>Ctrl</kbd>+<kbd>C</kbd>"
    " handling. Backslashes \\n, \\u0041 and \\\\ must survive as they are.",
    "We run this in three regions with about 40,000 requests per minute. The effect is small for "
    "each user, and large in sum: roughly 2 % of all jobs are retried once, and some twice.",
)
_COMMENTS = (
    "+1, same here.",
    "Thanks! 🎉 Fixed by the commit above.",
    "Could you add the output of `--verbose`?",
    "I cannot reproduce this on 1.5.2 — which platform is it?",
    "Duplicate of the older one, but let's keep this, it has the better description.",
)

# One body in this many carries a NUL, which JSON can say and Postgres refuses to store.
_NUL_EVERY = 150


def token(rng: Random, length: int) -> str:
    """Letters and digits, as in the ids of Stripe."""
    text = b64encode(rng.randbytes(length), b"Zz").decode()
    return text[:length]


def person(rng: Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def title(rng: Random) -> str:
    return f"{rng.choice(_AREAS).capitalize()} {rng.choice(_FAULTS)}"


def body(rng: Random) -> str | None:
    """The text of an issue: a few hundred to about 2,000 characters, and now and then none."""
    if rng.random() < 0.03:
        return None
    text = "\n\n".join(rng.sample(_PARAGRAPHS, k=rng.randint(2, 12)))
    return f"{text}\n\nraw: \x00" if rng.randrange(_NUL_EVERY) == 0 else text


def comment(rng: Random) -> str:
    """The text of a comment: one line, or some paragraphs under it."""
    parts = [rng.choice(_COMMENTS), *rng.sample(_PARAGRAPHS, k=rng.randint(0, 4))]
    text = "\n\n".join(parts)
    return f"{text} \x00" if rng.randrange(_NUL_EVERY) == 0 else text


def slug(rng: Random) -> str:
    """A short name in lower case, such as a branch or a label takes."""
    return f"{rng.choice(_AREAS)}-{rng.randrange(16**4):04x}"
