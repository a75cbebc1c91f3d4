"""Pull requests."""

from github_location.source.tables.columns import DELETED_AT, REPO_ID, REST, user
from ingest_shared.tables import Child, Table, bigint, boolean, json, text, timestamp

pull_requests = Table(
    name="pull_requests",
    description="Pull requests; labels, assignees and milestone stand with the issue of the same number.",
    docs=f"{REST}/pulls/pulls#list-pull-requests",
    key=("id",),
    columns=(
        bigint("id", "Immutable id. The same pull request has another id in the table issues."),
        REPO_ID,
        bigint("number", "Number within the repository, the same as in the table issues."),
        text("title", "Title."),
        text("body", "Text, in Markdown."),
        text("state", "open or closed; merged ones are closed."),
        boolean("draft", "Whether it is a draft."),
        boolean("locked", "Whether the conversation is locked."),
        *user("user", "Author"),
        text("author_association", "The author's relation to the repository."),
        text("base_ref", "Branch it is to be merged into.", path="base.ref"),
        text("base_sha", "Head of that branch.", path="base.sha"),
        text("head_ref", "Branch with the changes.", path="head.ref"),
        text("head_sha", "Head of the changes.", path="head.sha"),
        bigint("head_repo_id", "Repository of the changes; null when it was deleted.", path="head.repo.id"),
        text("merge_commit_sha", "The merge commit, or a test merge while it is open."),
        json("auto_merge", "Settings of auto-merge, when it is on."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was opened."),
        timestamp("updated_at", "When anything of it last changed."),
        timestamp("closed_at", "When it was closed or merged."),
        timestamp("merged_at", "When it was merged; null when it was not."),
        DELETED_AT,
    ),
    children=(
        Child(
            name="requested_reviewers",
            description="Users whose review is awaited.",
            path="requested_reviewers",
            key=("pull_request_id", "user_id"),
            columns=(
                bigint("pull_request_id", "Pull request.", path="id", origin="parent"),
                bigint("user_id", "User, by immutable id.", path="id"),
                text("user_login", "The user's login.", path="login"),
            ),
            unused=("*",),
        ),
        Child(
            name="requested_teams",
            description="Teams whose review is awaited.",
            path="requested_teams",
            key=("pull_request_id", "team_id"),
            columns=(
                bigint("pull_request_id", "Pull request.", path="id", origin="parent"),
                bigint("team_id", "Team, by immutable id.", path="id"),
                text("team_slug", "The team's name in addresses.", path="slug"),
            ),
            unused=("*",),
        ),
    ),
    unused=(
        *"user.* base.* base.repo head.* head.repo.* node_id url diff_url patch_url issue_url assignee".split(),
        *"assignees labels milestone commits_url review_comments_url review_comment_url".split(),
        *"comments_url statuses_url _links active_lock_reason stack".split(),
    ),
)
