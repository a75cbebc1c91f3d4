"""Numbers of each repository by day."""

from github_location.source.tables.columns import repo_table
from ingest_shared.tables import Table, bigint, timestamp

DAY = "The day, as its first instant in UTC."

repo_stats_daily = repo_table(
    name="repo_stats_daily",
    description="GitHub's counts for each repository, as of the last load of each day.",
    docs="repos/repos#list-organization-repositories",
    key=("repo_id", "day"),
    columns=(
        timestamp("day", DAY),
        bigint("stargazers_count", "Users who starred it."),
        bigint("forks_count", "Forks."),
        bigint("open_issues_count", "Open issues and pull requests."),
        bigint("size", "Size in kB as GitHub computes it."),
    ),
    limits="Days on which nothing was loaded.",
)


def _traffic(name: str, description: str, docs: str, one: str, who: str) -> Table:
    return repo_table(
        name=f"traffic_{name}",
        description=description,
        docs=f"metrics/traffic#{docs}",
        key=("repo_id", "day"),
        columns=(
            timestamp("day", DAY, path="timestamp"),
            bigint("count", f"{one}."),
            bigint("uniques", f"{who}."),
        ),
        limits="Days more than two weeks before the first load, and repositories to which the credential may "
        "not push. An App or a fine-grained token also needs the permission Administration (read).",
    )


traffic_views = _traffic(
    "views", "How often the pages of each repository were viewed.", "get-page-views", "Views", "Visitors"
)
traffic_clones = _traffic(
    "clones", "How often each repository was cloned.", "get-repository-clones", "Clones", "Who cloned it"
)
