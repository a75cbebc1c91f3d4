"""Pull requests, their reviews, and the comments in their diffs."""

import pyarrow as pa
import pyarrow.compute as pc

from github_location.source.tables.code import CHANGED_FILE, COMMIT_UNUSED, FILE_UNUSED, MADE
from github_location.source.tables.columns import repo_table, user
from ingest_shared.tables import BOOLEAN, Child, Column, bigint, boolean, derived, json, text, timestamp

FILES_SHOWN = 3_000
"""https://docs.github.com/en/rest/pulls/pulls#list-pull-requests-files"""
COMMITS_SHOWN = 250
"""https://docs.github.com/en/rest/pulls/pulls#list-commits-on-a-pull-request"""

OF_PULL = (
    bigint("pull_request_id", "Pull request.", origin="reader", to="pull_requests"),
    bigint("pull_request_number", "Its number within the repository.", origin="reader"),
)

pull_requests = repo_table(
    name="pull_requests",
    description="Pull requests; labels, assignees and milestone are with the issue of the same number.",
    docs="pulls/pulls#list-pull-requests",
    columns=(
        bigint("id", "Immutable id. The same pull request has another id in the table issues."),
        text("node_id", "Its immutable id in GitHub's GraphQL API."),
        bigint("number", "Number within the repository, the same as in the table issues."),
        text("title", "Title."),
        text("body", "Text, in Markdown."),
        text("state", "open or closed; merged ones are closed."),
        boolean("draft", "Whether it is a draft."),
        boolean("locked", "Whether the conversation is locked."),
        *user("user", "Author"),
        text("author_association", "The author's relation to the repository."),
        text("base_ref", "Branch that it is to be merged into.", path="base.ref"),
        text("base_sha", "Head of that branch.", path="base.sha"),
        text("head_ref", "Branch with the changes.", path="head.ref"),
        text("head_sha", "Head of the changes.", path="head.sha"),
        bigint("head_repo_id", "Repository of the changes; null if it was deleted.", path="head.repo.id"),
        text("merge_commit_sha", "The merge commit; while it is open, a test merge."),
        json("auto_merge", "Settings of auto-merge, if it is switched on."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was opened."),
        timestamp("updated_at", "When anything about it last changed."),
        timestamp("closed_at", "When it was closed or merged."),
        timestamp("merged_at", "When it was merged; null if it was not."),
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
                text("team_slug", "The team's name in URLs.", path="slug"),
            ),
            unused=("*",),
        ),
    ),
    unused=(
        *"user.* base.* base.repo head.* head.repo.* url diff_url patch_url issue_url assignee".split(),
        *"assignees labels milestone commits_url review_comments_url review_comment_url".split(),
        *"comments_url statuses_url _links active_lock_reason stack".split(),
    ),
)

reviews = repo_table(
    name="reviews",
    description="Reviews of pull requests.",
    docs="pulls/reviews#list-reviews-for-a-pull-request",
    columns=(
        bigint("id", "Immutable id."),
        bigint("pull_request_id", "Pull request, an id of the table pull_requests.", origin="reader"),
        bigint("pull_request_number", "Its number within the repository.", origin="reader"),
        *user("user", "Reviewer"),
        text("author_association", "The reviewer's relation to the repository."),
        text("state", "APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED, or PENDING for the token's own user."),
        text("body", "Text, in Markdown."),
        text("commit_id", "Commit that was reviewed, by its hash."),
        text("html_url", "Its place on GitHub."),
        timestamp("submitted_at", "When it was submitted; null while it is pending."),
    ),
    unused=(*"user.* node_id pull_request_url _links body_html body_text".split(),),
    limits="Changes of reviews directly: they are read again when their pull request has a new `updated_at`.",
)

review_comments = repo_table(
    name="review_comments",
    description="Comments in the diffs of pull requests.",
    docs="pulls/comments#list-review-comments-in-a-repository",
    columns=(
        bigint("id", "Immutable id."),
        text("pull_request_url", "Address of the pull request in the API; it ends with its number."),
        bigint("pull_request_review_id", "Review that it belongs to, an id of the table reviews."),
        bigint("in_reply_to_id", "Comment that it replies to, an id of this table."),
        *user("user", "Author"),
        text("author_association", "The author's relation to the repository."),
        text("body", "Text, in Markdown."),
        text("path", "File that it is about."),
        text("diff_hunk", "The lines of the diff around it."),
        text("commit_id", "Commit that it is shown at, by its hash."),
        text("original_commit_id", "Commit that it was written at, by its hash."),
        text("subject_type", "line or file."),
        text("side", "LEFT for the old file, RIGHT for the new one."),
        bigint("line", "Last line that it is about; null if the diff no longer contains it."),
        bigint("original_line", "That line when it was written."),
        text("start_side", "Side of the first line, if it is about several."),
        bigint("start_line", "First line, if it is about several."),
        bigint("original_start_line", "That line when it was written."),
        json("reactions", "Reactions by kind."),
        text("html_url", "Its place on GitHub."),
        timestamp("created_at", "When it was written."),
        timestamp("updated_at", "When it was last edited."),
    ),
    unused=(*"user.* node_id url _links position original_position body_html body_text".split(),),
)


def _cut(name: str, description: str, count: str, shown: int) -> Column:
    def is_more(counts: pa.Array) -> pa.Array:
        return pc.greater(counts, shown)

    return derived(name, description, BOOLEAN, (count,), is_more)


pull_request_details = repo_table(
    name="pull_request_details",
    description="What GitHub shows only for a single pull request: its size, and whether it can be merged. On request.",
    docs="pulls/pulls#get-a-pull-request",
    key=("pull_request_id", "node_id"),
    columns=(
        *OF_PULL,
        text("node_id", "Its immutable id in GitHub's GraphQL API."),
        text("state", "open or closed; merged ones are closed."),
        boolean("merged", "Whether it was merged."),
        *user("merged_by", "Who merged it"),
        boolean("mergeable", "Whether it can be merged without a conflict; null if GitHub does not know."),
        boolean("rebaseable", "Whether it can be rebased; null if GitHub does not know."),
        text("mergeable_state", "clean, dirty, blocked, behind, unstable, draft, unknown and others."),
        boolean("maintainer_can_modify", "Whether maintainers may push to its branch."),
        bigint("comments", "Comments in its conversation."),
        bigint("review_comments", "Comments in its diff."),
        bigint("commits", "Commits in it."),
        bigint("additions", "Lines that it adds."),
        bigint("deletions", "Lines that it removes."),
        bigint("changed_files", "Files that it changes."),
        _cut("files_truncated", "Whether some are missing from pull_request_files.", "changed_files", FILES_SHOWN),
        _cut("commits_truncated", "Whether some are missing from pull_request_commits.", "commits", COMMITS_SHOWN),
    ),
    unused=("*", "merged_by.*"),
    limits="The mergeability at once: GitHub determines it only when the pull request is requested, so it is requested "
    "a second time at the end of the load.",
)

pull_request_files = repo_table(
    name="pull_request_files",
    description="Files that each pull request changes, without their lines. On request.",
    docs="pulls/pulls#list-pull-requests-files",
    key=("pull_request_id", "filename"),
    columns=(
        *OF_PULL,
        *CHANGED_FILE,
    ),
    unused=FILE_UNUSED,
    limits=f"Files of a pull request beyond the first {FILES_SHOWN:,}: pull_request_details has files_truncated.",
)

pull_request_commits = repo_table(
    name="pull_request_commits",
    description="Commits in each pull request, even those that never reached a branch of the repository. On request.",
    docs="pulls/pulls#list-commits-on-a-pull-request",
    key=("pull_request_id", "sha"),
    columns=(
        *OF_PULL,
        text("sha", "Hash of the commit."),
        *MADE,
    ),
    unused=(*COMMIT_UNUSED, "parents", "files", "stats"),
    limits=f"Commits of a pull request beyond the first {COMMITS_SHOWN}: pull_request_details has commits_truncated.",
)
