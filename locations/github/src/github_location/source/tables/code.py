"""Commits, and the branches and tags that lead to them."""

from github_location.source.tables.columns import repo_table, user
from ingest_shared.tables import Child, bigint, boolean, text, timestamp

MADE = (
    text("message", "Message.", path="commit.message"),
    *user("author", "Author as a GitHub user"),
    text("author_name", "Author as written in the commit.", path="commit.author.name"),
    text("author_email", "Author's address as written in the commit.", path="commit.author.email"),
    timestamp("authored_at", "When the change was written.", path="commit.author.date"),
    *user("committer", "Committer as a GitHub user"),
    text("committer_name", "Committer as written in the commit.", path="commit.committer.name"),
    text("committer_email", "Committer's address as written in the commit.", path="commit.committer.email"),
    timestamp("committed_at", "When it was committed.", path="commit.committer.date"),
    text("tree_sha", "Hash of the tree.", path="commit.tree.sha"),
    bigint("comment_count", "Number of comments.", path="commit.comment_count"),
    boolean("verified", "Whether the signature is valid.", path="commit.verification.verified"),
    text("verification_reason", "The result of checking the signature.", path="commit.verification.reason"),
    text("html_url", "Its page on GitHub."),
)
"""The columns of a commit, wherever it is listed."""
COMMIT_UNUSED = (
    *"author.* committer.* commit.author.* commit.committer.* commit.tree.* commit.verification.*".split(),
    *"node_id url comments_url commit.url".split(),
)
CHANGED_FILE = (
    text("filename", "Path of the file."),
    text("previous_filename", "Its previous path, if it was renamed."),
    text("status", "added, removed, modified, renamed, copied, changed or unchanged."),
    bigint("additions", "Lines that were added."),
    bigint("deletions", "Lines that were removed."),
    bigint("changes", "Lines that were added or removed."),
    text("content_sha", "Hash of the file's content; null for a submodule.", path="sha"),
)
"""The columns of a file in a diff, without its lines."""
FILE_UNUSED = ("blob_url", "raw_url", "contents_url", "patch")

commits = repo_table(
    name="commits",
    description="Commits that are or were on a branch; deleted_at marks those that no longer are.",
    docs="commits/commits#list-commits",
    key=("repo_id", "sha"),
    columns=(
        text("sha", "Hash of the commit."),
        *MADE,
    ),
    children=(
        Child(
            name="commit_parents",
            description="The parents of each commit.",
            path="parents",
            key=("repo_id", "sha", "parent_sha"),
            columns=(
                bigint("repo_id", "Repository.", path="repo_id", origin="parent"),
                text("sha", "Commit.", path="sha", origin="parent"),
                text("parent_sha", "Hash of the parent.", path="sha"),
            ),
            unused=("url", "html_url"),
        ),
    ),
    unused=(*COMMIT_UNUSED, "files", "stats"),
)

branches = repo_table(
    name="branches",
    description="Branches of each repository.",
    docs="branches/branches#list-branches",
    key=("repo_id", "name"),
    columns=(
        text("name", "Name."),
        text("commit_sha", "Its head, a sha of the table commits.", path="commit.sha"),
        boolean("protected", "Whether a rule protects it."),
    ),
    unused=("commit.*", "protection", "protection_url"),
)

tags = repo_table(
    name="tags",
    description="Tags of each repository.",
    docs="repos/repos#list-repository-tags",
    key=("repo_id", "name"),
    columns=(
        text("name", "Name."),
        text("commit_sha", "The commit that it points to, by its hash.", path="commit.sha"),
    ),
    unused=("commit.*", "zipball_url", "tarball_url", "node_id"),
    limits="Who made an annotated tag, when, and its message.",
)

commit_details = repo_table(
    name="commit_details",
    description="How much each commit changed. On request.",
    docs="commits/commits#get-a-commit",
    key=("repo_id", "sha"),
    columns=(
        text("sha", "Hash of the commit.", to="commits"),
        bigint("additions", "Lines that it added.", path="stats.additions"),
        bigint("deletions", "Lines that it removed.", path="stats.deletions"),
        bigint("total", "Lines that it added or removed.", path="stats.total"),
    ),
    children=(
        Child(
            name="commit_files",
            description="Files that each commit changed, compared with its first parent; without their lines.",
            path="files",
            key=("repo_id", "sha", "filename"),
            columns=(
                bigint("repo_id", "Repository.", path="repo_id", origin="parent"),
                text("sha", "Commit.", path="sha", origin="parent"),
                *CHANGED_FILE,
            ),
            unused=FILE_UNUSED,
        ),
    ),
    unused=("*",),
    limits="Files of a commit beyond the first 3,000.",
)
