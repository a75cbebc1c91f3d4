"""People and teams around repositories and organizations.

https://docs.github.com/en/rest/activity/starring, https://docs.github.com/en/rest/collaborators/collaborators,
https://docs.github.com/en/rest/teams/teams, https://docs.github.com/en/rest/orgs/members
"""

from dataclasses import replace

from ... import prose
from ...wire import Json, iso
from ..model import Account, Repository, Row
from ..render import API, WEB, account, node_id
from .collection import Collection, Making, by_creation

_ROLES = ("admin", "maintain", "write", "triage", "read")
_RIGHTS = {"admin": "admin", "maintain": "maintain", "write": "push", "triage": "triage", "read": "pull"}


def stargazer(repo: Repository, row: Row) -> Json:
    """As the media type ``star+json`` has it."""
    return {"starred_at": iso(row.created_at), "user": account(repo, row.facts["user"])}


def collaborator(repo: Repository, row: Row) -> Json:
    rank = _ROLES.index(row.facts["role"])
    rights = {right: _ROLES.index(role) >= rank for role, right in _RIGHTS.items()}
    return account(repo, row.facts["user"]) | {"permissions": rights, "role_name": row.facts["role"]}


def team(home: Account, row: Row) -> Json:
    """A team; one of the enterprise has the same id in each organization that it is assigned to.

    https://github.blog/changelog/2026-02-23-enterprise-team-support-in-organization-apis
    """
    url, slug = f"{API}/organizations/{home.id}/team/{row.id}", row.facts["slug"]
    of_organization = {"type": "organization", "organization_id": home.id}
    return {
        "id": row.id,
        "node_id": node_id("T", row.id),
        "url": url,
        "html_url": f"{WEB}/orgs/{home.login}/teams/{slug}",
        "name": row.facts["name"],
        "slug": slug,
        "description": row.facts["description"],
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "permission": "pull",
        "members_url": f"{url}/members{{/member}}",
        "repositories_url": f"{url}/repos",
        **({"type": "enterprise", "enterprise_id": 1} if row.facts.get("of_enterprise") else of_organization),
        "parent": None,
    }


def member(home: Account | Repository, row: Row) -> Json:
    return account(None, row.facts["user"])


def is_public(home: Account, row: Row) -> bool:
    """Whether the member's membership is public: two of three are not."""
    return bool(row.facts["user"].id % 3 == 0)


def _another(making: Making, name: str) -> Account | None:
    """Somebody who is not in the list yet."""
    free = [user for user in making.forge.people[:-1] if user.id not in making.home.rows[name]]
    return making.rng.choice(free) if free else None


def _star(making: Making) -> Json | None:
    user = _another(making, "stargazers")
    return None if user is None else {"id": user.id, "user": user}


def _collaborate(making: Making) -> Json | None:
    user = _another(making, "collaborators")
    return None if user is None else {"id": user.id, "user": user, "role": making.rng.choice(_ROLES)}


def _change_role(making: Making, row: Row) -> None:
    row.facts["role"] = making.rng.choice([role for role in _ROLES if role != row.facts["role"]])


def _join(making: Making) -> Json | None:
    user = _another(making, "members")
    return None if user is None else {"id": user.id, "user": user}


def _make_team(making: Making) -> Json:
    slug = f"{prose.slug(making.rng)}-{len(making.home.rows['teams'])}"
    return {"name": slug.replace("-", " ").title(), "slug": slug, "description": making.rng.choice((None, "A team"))}


def _rename_team(making: Making, row: Row) -> None:
    row.facts |= _make_team(making)


STARGAZERS = Collection(
    name="stargazers",
    one="star",
    show=stargazer,
    without_media_type=("star+json", member),
    make=_star,
    key=by_creation,
    seeded=60,
)
COLLABORATORS = Collection(
    name="collaborators",
    show=collaborator,
    make=_collaborate,
    edit=_change_role,
    for_those_who="token",
    seeded=12,
)
TEAMS = Collection(
    name="teams",
    show=team,
    make=_make_team,
    edit=_rename_team,
    first_id=9_400_000,
    of_organization=True,
    for_those_who="token",
    seeded=6,
)
MEMBERS = Collection(
    name="members",
    show=member,
    make=_join,
    visible=lambda home, row: home.has_viewer or is_public(home, row),
    of_organization=True,
    seeded=30,
)
PUBLIC_MEMBERS = replace(MEMBERS, path="/public_members", visible=is_public)
"""The same members; it is no collection of its own."""
