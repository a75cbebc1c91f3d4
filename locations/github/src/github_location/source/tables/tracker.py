"""The issue tracker: issues, their comments, labels and milestones."""

from github_location.source.tables.columns import DELETED_AT, REPO_ID, REST, user
from ingest_shared.tables import Child, Table, bigint, boolean, json, present, text, timestamp

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
        *user("user", "Author"),
        *user("closed_by", "Who closed it"),
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

issue_comments = Table(
    name="issue_comments",
    description="Comments on issues and on the conversation of pull requests.",
    docs=f"{REST}/issues/comments#list-issue-comments-for-a-repository",
    key=("id",),
    columns=(
        bigint("id", "Immutable id."),
        REPO_ID,
        text("issue_url", "Address of the issue or pull request in the API; it ends with its number."),
        *user("user", "Author"),
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
        *user("creator", "Who made it"),
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
