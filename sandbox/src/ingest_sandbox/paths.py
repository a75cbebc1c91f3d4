"""Addresses with their names taken out, so that requests can be counted by what they ask for."""

import re

# In this order. Names come before numbers: an owner or a branch may be called 7.
_RULES = [
    (re.compile(pattern), shown)
    for pattern, shown in (
        (r"^(/github/repos)/[^/]+/[^/]+", r"\1/{owner}/{repo}"),
        (r"^(/github/(?:orgs|users))/[^/]+", r"\1/{owner}"),
        (r"^(/github/.+/commits)/.+", r"\1/{ref}"),
        (r"^(/github/.+/compare)/.+", r"\1/{basehead}"),
        (r"^(/stripe/v1/(?:(?:checkout|radar)/[^/]+|(?!checkout/|radar/)[^/]+))/[^/]+", r"\1/{id}"),
        (r"/\d+(?=/|$)", "/{id}"),
    )
]


def template(path: str) -> str:
    """A path of an API as its documentation writes it: ``/stripe/v1/invoices/{id}/lines``.

    GitHub's numbers of issues and pull requests are ``{id}`` as well. A path that is no route
    stays as it is, apart from its numbers.
    """
    for pattern, shown in _RULES:
        path = pattern.sub(shown, path)
    return path
