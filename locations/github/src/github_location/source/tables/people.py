"""People and teams around the repositories and their organizations."""

from github_location.source.tables.columns import ORGANIZATION_ID, repo_table
from ingest_shared.tables import bigint, boolean, json, text, timestamp

ADDRESSES = (
    *"node_id avatar_url gravatar_id url html_url followers_url following_url gists_url starred_url".split(),
    *"subscriptions_url organizations_url repos_url events_url received_events_url user_view_type".split(),
)

stargazers = repo_table(
    name="stargazers",
    description="Who starred which repository.",
    docs="activity/starring#list-stargazers",
    key=("repo_id", "user_id"),
    columns=(
        bigint("user_id", "User, by immutable id.", path="user.id"),
        text("user_login", "The user's login.", path="user.login"),
        timestamp("starred_at", "When it was starred."),
    ),
    unused=("user.*",),
    limits="More than 40,000 of a repository; since July 2026, those of one that the credential does not work on.",
)

collaborators = repo_table(
    name="collaborators",
    description="Who has access to which repository, directly or as a member of a team or an organization.",
    docs="collaborators/collaborators#list-repository-collaborators",
    key=("repo_id", "user_id"),
    columns=(
        bigint("user_id", "User, by immutable id.", path="id"),
        text("user_login", "The user's login.", path="login"),
        text("role_name", "read, triage, write, maintain, admin, or a custom role of the organization."),
        json("permissions", "What the user may do."),
        boolean("site_admin", "Whether the user works at GitHub."),
    ),
    unused=(*ADDRESSES, "type", "name", "email"),
    limits="Collaborators of repositories that the credential may not push to.",
)

teams = repo_table(
    name="teams",
    description="Teams of the organizations that own the repositories; one of the enterprise has a row for each "
    "organization that it is assigned to.",
    docs="teams/teams#list-teams",
    key=("organization_id", "id"),
    of=ORGANIZATION_ID,
    columns=(
        bigint("id", "Immutable id."),
        text("name", "Name."),
        text("slug", "The name in URLs."),
        text("description", "What it is for."),
        text("privacy", "secret or closed."),
        text("notification_setting", "Whether its members are notified when it is mentioned."),
        bigint("parent_id", "Parent team, an id of this table.", path="parent.id"),
        text("html_url", "Its page on GitHub."),
    ),
    unused=(
        *"parent.* node_id url permission permissions members_url repositories_url type access_source".split(),
        *"organization_id enterprise_id".split(),
    ),
    limits="Secret teams that the credential's user is not a member of; changes in an organization that no longer "
    "owns a repository that is loaded.",
)

members = repo_table(
    name="members",
    description="Members of the organizations that own the repositories.",
    docs="orgs/members#list-organization-members",
    key=("organization_id", "user_id"),
    of=ORGANIZATION_ID,
    columns=(
        bigint("user_id", "User, by immutable id.", path="id"),
        text("user_login", "The user's login.", path="login"),
        boolean("site_admin", "Whether the user works at GitHub."),
    ),
    unused=(*ADDRESSES, "type", "name", "email", "starred_at"),
    limits="Members with a hidden membership, if the credential's user is not a member; changes in an organization "
    "that no longer owns a repository that is loaded.",
)
