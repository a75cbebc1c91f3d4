"""The tables of the GitHub mirror: contract, documentation and column schema at once.

To add a column, name its path in GitHub's JSON; to add a table, see the README.
"""

from ingest_shared.tables import Child, Column, Table, bigint, boolean, epoch, json, present, text, timestamp

REST = "https://docs.github.com/en/rest"
DELETED_AT = epoch("deleted_at", "When it was found to be deleted; null while it exists.", origin="given")
REPO_ID = bigint("repo_id", "Repository, by its immutable id; a rename does not change it.", origin="given")


def _user(name: str, role: str, path: str | None = None) -> tuple[Column, Column]:
    """Id and login of a user object; both are null when the account was deleted."""
    path = path or name
    return (
        bigint(f"{name}_id", f"{role}, by immutable id; null when the account was deleted.", path=f"{path}.id"),
        text(f"{name}_login", f"{role}'s login at the time of the last change of this row.", path=f"{path}.login"),
    )


repositories = Table(
    name="repositories",
    description="The configured repositories.",
    docs=f"{REST}/repos/repos#get-a-repository",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        text("name", "Name without the owner."),
        text("full_name", "owner/name as of now."),
        *_user("owner", "Owner, a user or an organisation"),
        boolean("private", "Whether only members see it."),
        text("visibility", "public, private or internal."),
        text("description", "What the repository says it is."),
        boolean("fork", "Whether it is a fork."),
        boolean("archived", "Whether it is read-only."),
        boolean("disabled", "Whether GitHub has disabled it."),
        boolean("is_template", "Whether new repositories can be made from it."),
        text("default_branch", "The default branch."),
        text("language", "The language most of it is written in."),
        text("license_key", "Licence, a key of the table licenses.", path="license.key"),
        text("homepage", "Address of its website."),
        text("html_url", "Its page on GitHub."),
        bigint("size", "Size in kB as GitHub computes it."),
        bigint("stargazers_count", "Users who starred it."),
        bigint("subscribers_count", "Users who watch it; only in the answer for a single repository."),
        bigint("forks_count", "Forks."),
        bigint("open_issues_count", "Open issues and pull requests."),
        boolean("has_issues", "Whether issues are switched on."),
        boolean("has_projects", "Whether projects are switched on."),
        boolean("has_wiki", "Whether the wiki is switched on."),
        boolean("has_pages", "Whether it serves a site."),
        boolean("has_discussions", "Whether discussions are switched on."),
        timestamp("created_at", "When it was created."),
        timestamp("updated_at", "When its own data last changed."),
        timestamp("pushed_at", "When something was last pushed to any branch."),
        json("permissions", "What the credential may do with it."),
        DELETED_AT,
    ),
    children=(
        Child(
            name="repository_topics",
            description="Topics that repositories carry.",
            path="topics",
            key=("repo_id", "topic"),
            columns=(
                bigint("repo_id", "Repository.", path="id", origin="parent"),
                text("topic", "The topic.", path="."),
            ),
        ),
    ),
    unused=(
        *"owner.* license.* node_id url forks_url keys_url collaborators_url teams_url hooks_url".split(),
        *"issue_events_url events_url assignees_url branches_url tags_url blobs_url git_tags_url".split(),
        *"git_refs_url trees_url statuses_url languages_url stargazers_url contributors_url".split(),
        *"subscribers_url subscription_url commits_url git_commits_url comments_url".split(),
        *"issue_comment_url contents_url compare_url merges_url archive_url downloads_url issues_url".split(),
        *"pulls_url milestones_url notifications_url labels_url releases_url deployments_url git_url".split(),
        *"ssh_url clone_url svn_url mirror_url watchers_count has_downloads allow_forking".split(),
        *"web_commit_signoff_required forks open_issues watchers network_count temp_clone_token".split(),
        *"organization allow_rebase_merge allow_squash_merge allow_merge_commit allow_auto_merge".split(),
        *"delete_branch_on_merge allow_update_branch security_and_analysis custom_properties".split(),
        *"merge_commit_message merge_commit_title squash_merge_commit_message squash_merge_commit_title".split(),
        *"use_squash_pr_title_as_default has_pull_requests pull_request_creation_policy role_name".split(),
        *"anonymous_access_enabled master_branch code_of_conduct parent source template_repository".split(),
    ),
)

issues = Table(
    name="issues",
    description="Issues and pull requests, as the issues API lists both; is_pull_request tells them apart.",
    docs=f"{REST}/issues/issues#list-repository-issues",
    key=("id",),
    columns=(
        bigint("id", "Immutable id. A pull request has another id in the table pull_requests."),
        REPO_ID,
        bigint("number", "Number within the repository."),
        text("title", "Title."),
        text("body", "Text, in Markdown."),
        text("state", "open or closed."),
        text("state_reason", "completed, not_planned, duplicate or reopened."),
        boolean("locked", "Whether the conversation is locked."),
        text("active_lock_reason", "Why it is locked."),
        boolean("draft", "Whether the pull request is a draft; null for issues."),
        present("is_pull_request", "Whether this is a pull request.", path="pull_request"),
        *_user("user", "Author"),
        *_user("closed_by", "Who closed it"),
        text("author_association", "The author's relation to the repository."),
        text("type_name", "The organisation's issue type.", path="type.name"),
        bigint("milestone_id", "Milestone, an id of the table milestones.", path="milestone.id"),
        bigint("comments", "Number of comments."),
        json("reactions", "Reactions by kind."),
        text("parent_issue_url", "Address in the API of the issue that it is a part of; it ends with its number."),
        json("issue_field_values", "Values of the organisation's issue fields."),
        json("sub_issues_summary", "How many sub-issues there are and are done."),
        json("issue_dependencies_summary", "How many issues block this one or are blocked by it."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was opened."),
        timestamp("updated_at", "When anything of it last changed."),
        timestamp("closed_at", "When it was closed last."),
        DELETED_AT,
    ),
    children=(
        Child(
            name="issue_labels",
            description="Which issue carries which label.",
            path="labels",
            key=("issue_id", "label_id"),
            columns=(
                bigint("issue_id", "Issue.", path="id", origin="parent"),
                bigint("label_id", "Label, an id of the table labels.", path="id"),
            ),
            unused=("*",),
        ),
        Child(
            name="issue_assignees",
            description="Who is assigned to which issue.",
            path="assignees",
            key=("issue_id", "user_id"),
            columns=(
                bigint("issue_id", "Issue.", path="id", origin="parent"),
                bigint("user_id", "User, by immutable id.", path="id"),
                text("user_login", "The user's login.", path="login"),
            ),
            unused=("*",),
        ),
    ),
    unused=(
        *"user.* closed_by.* type.* milestone.* node_id url repository_url labels_url comments_url".split(),
        *"events_url timeline_url assignee performed_via_github_app body_html body_text".split(),
        *"repository pinned_comment".split(),
    ),
)

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
        *_user("user", "Author"),
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

issue_comments = Table(
    name="issue_comments",
    description="Comments on issues and on the conversation of pull requests.",
    docs=f"{REST}/issues/comments#list-issue-comments-for-a-repository",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        REPO_ID,
        text("issue_url", "Address of the issue or pull request in the API; it ends with its number."),
        *_user("user", "Author"),
        text("author_association", "The author's relation to the repository."),
        text("body", "Text, in Markdown."),
        json("reactions", "Reactions by kind."),
        text("html_url", "Its place on GitHub."),
        timestamp("created_at", "When it was written."),
        timestamp("updated_at", "When it was last edited."),
        DELETED_AT,
    ),
    unused=(*"user.* node_id url performed_via_github_app body_html body_text minimized pin".split(),),
)

commits = Table(
    name="commits",
    description="Commits that are or were on a branch; deleted_at tells those that are on none any more.",
    docs=f"{REST}/commits/commits#list-commits",
    key=("repo_id", "sha"),
    columns=(
        REPO_ID,
        text("sha", "Hash of the commit."),
        text("message", "Message.", path="commit.message"),
        *_user("author", "Author as a GitHub user"),
        text("author_name", "Author as written in the commit.", path="commit.author.name"),
        text("author_email", "Author's address as written in the commit.", path="commit.author.email"),
        timestamp("authored_at", "When the change was written.", path="commit.author.date"),
        *_user("committer", "Committer as a GitHub user"),
        text("committer_name", "Committer as written in the commit.", path="commit.committer.name"),
        text("committer_email", "Committer's address as written in the commit.", path="commit.committer.email"),
        timestamp("committed_at", "When it was committed.", path="commit.committer.date"),
        text("tree_sha", "Hash of the tree.", path="commit.tree.sha"),
        bigint("comment_count", "Number of comments.", path="commit.comment_count"),
        boolean("verified", "Whether the signature is valid.", path="commit.verification.verified"),
        text("verification_reason", "What the check of the signature said.", path="commit.verification.reason"),
        text("html_url", "Its page on GitHub."),
        DELETED_AT,
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
    unused=(
        *"author.* committer.* commit.author.* commit.committer.* commit.tree.* commit.verification.*".split(),
        *"node_id url comments_url commit.url files stats".split(),
    ),
)

releases = Table(
    name="releases",
    description="Releases of each repository; drafts only where the credential may see them.",
    docs=f"{REST}/releases/releases#list-releases",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        REPO_ID,
        text("tag_name", "The tag it was made from."),
        text("target_commitish", "Branch or commit that the tag was made from."),
        text("name", "Title."),
        text("body", "Text, in Markdown."),
        boolean("draft", "Whether it is unpublished."),
        boolean("prerelease", "Whether it is not meant for production."),
        boolean("immutable", "Whether it cannot be changed any more."),
        *_user("author", "Who made it"),
        json("assets", "Files of the release."),
        json("reactions", "Reactions by kind."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When its commit was made."),
        timestamp("updated_at", "When it was last changed."),
        timestamp("published_at", "When it was published."),
        DELETED_AT,
    ),
    unused=(
        *"author.* node_id url assets_url upload_url tarball_url zipball_url body_html body_text".split(),
        *"mentions_count discussion_url".split(),
    ),
)

labels = Table(
    name="labels",
    description="Labels that each repository offers.",
    docs=f"{REST}/issues/labels#list-labels-for-a-repository",
    key=("id",),
    columns=(
        bigint("id", "Immutable id; a rename does not change it."),
        REPO_ID,
        text("name", "Name."),
        text("color", "Colour as six hexadecimal digits."),
        boolean("is_default", "Whether GitHub made it with the repository.", path="default"),
        text("description", "What it is for."),
        timestamp("archived_at", "When it was archived; null while it is offered."),
        DELETED_AT,
    ),
    unused=("node_id", "url", "archived_by"),
)

milestones = Table(
    name="milestones",
    description="Milestones of each repository, open and closed.",
    docs=f"{REST}/issues/milestones#list-milestones",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        REPO_ID,
        bigint("number", "Number within the repository."),
        text("title", "Title."),
        text("description", "Text."),
        text("state", "open or closed."),
        *_user("creator", "Who made it"),
        bigint("open_issues", "Open issues and pull requests in it."),
        bigint("closed_issues", "Closed issues and pull requests in it."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was made."),
        timestamp("updated_at", "When it was last changed."),
        timestamp("due_on", "When it is due."),
        timestamp("closed_at", "When it was closed."),
        DELETED_AT,
    ),
    unused=("creator.*", "node_id", "url", "labels_url"),
)

TABLES = {
    table.name: table
    for table in (repositories, issues, pull_requests, issue_comments, commits, releases, labels, milestones)
}
