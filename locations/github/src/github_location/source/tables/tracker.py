"""The issue tracker: issues, their comments and events, labels and milestones."""

from github_location.source.tables.columns import ORGANIZATION_ID, repo_table, user
from ingest_shared.tables import Child, bigint, boolean, json, present, text, timestamp

issues = repo_table(
    name="issues",
    description="Issues and pull requests, since the issues API lists both; is_pull_request distinguishes them.",
    docs="issues/issues#list-repository-issues",
    columns=(
        bigint("id", "Immutable id. A pull request has another id in the table pull_requests."),
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
        bigint("type_id", "Its type, an id of the table issue_types; null if it has none.", path="type.id"),
        text("type_name", "The type's name at the time of the last change of this row.", path="type.name"),
        bigint("milestone_id", "Milestone, an id of the table milestones.", path="milestone.id"),
        bigint("comments", "Number of comments."),
        json("reactions", "Reactions by kind."),
        text(
            "parent_issue_url",
            "API address of the issue that it is a sub-issue of; it ends with that issue's number. The view sub_issues "
            "has its id.",
        ),
        json("issue_field_values", "Values of the organization's issue fields."),
        json("issue_dependencies_summary", "How many issues block this one, and how many it blocks."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was opened."),
        timestamp("updated_at", "When anything of it last changed."),
        timestamp("closed_at", "When it was last closed."),
    ),
    children=(
        Child(
            name="issue_labels",
            description="Which issue has which label.",
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
        *"repository pinned_comment sub_issues_summary".split(),
    ),
)

issue_comments = repo_table(
    name="issue_comments",
    description="Comments on issues and on the conversation of pull requests.",
    docs="issues/comments#list-issue-comments-for-a-repository",
    columns=(
        bigint("id", "Immutable id."),
        text("issue_url", "API address of the issue or pull request; it ends with its number."),
        *user("user", "Author"),
        text("author_association", "The author's relation to the repository."),
        text("body", "Text, in Markdown."),
        json("reactions", "Reactions by kind."),
        text("html_url", "Its place on GitHub."),
        timestamp("created_at", "When it was written."),
        timestamp("updated_at", "When it was last edited."),
    ),
    unused=(*"user.* node_id url performed_via_github_app body_html body_text minimized pin".split(),),
)

labels = repo_table(
    name="labels",
    description="Labels of each repository.",
    docs="issues/labels#list-labels-for-a-repository",
    columns=(
        bigint("id", "Immutable id; a rename does not change it."),
        text("name", "Name."),
        text("color", "Color as six hexadecimal digits."),
        boolean("is_default", "Whether GitHub created it with the repository.", path="default"),
        text("description", "What it is for."),
        timestamp("archived_at", "When it was archived; null while it is in use."),
    ),
    unused=("node_id", "url", "archived_by"),
)

milestones = repo_table(
    name="milestones",
    description="Milestones of each repository, open and closed.",
    docs="issues/milestones#list-milestones",
    columns=(
        bigint("id", "Immutable id."),
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
    ),
    unused=("creator.*", "node_id", "url", "labels_url"),
)

issue_types = repo_table(
    name="issue_types",
    description="Types that the issues of each organization may have.",
    docs="orgs/issue-types#list-issue-types-for-an-organization",
    of=ORGANIZATION_ID,
    columns=(
        bigint("id", "Immutable id; a rename does not change it."),
        text("name", "Name."),
        text("description", "What it is for."),
        text("color", "The name of its color."),
        boolean("is_enabled", "Whether it can be assigned to issues."),
        timestamp("created_at", "When it was made."),
        timestamp("updated_at", "When it was last changed."),
    ),
    unused=("node_id",),
    limits="Issue types in repositories of users.",
)

issue_events = repo_table(
    name="issue_events",
    description="What happened to issues and pull requests: closed, labeled, assigned, renamed, merged and so on.",
    docs="issues/events#list-issue-events-for-a-repository",
    columns=(
        bigint("id", "Immutable id."),
        bigint("issue_id", "Issue, an id of the table issues.", path="issue.id"),
        bigint("issue_number", "Its number within the repository.", path="issue.number"),
        text("event", "What happened: one of GitHub's issue event types."),
        *user("actor", "Who did it"),
        text("commit_id", "Commit that did it, by its hash."),
        text("label_name", "Label that was added or removed, by its name at the time.", path="label.name"),
        text("milestone_title", "Milestone, by its title at the time.", path="milestone.title"),
        *user("assignee", "Who was assigned or unassigned"),
        *user("assigner", "Who assigned"),
        *user("review_requester", "Who requested a review"),
        *user("requested_reviewer", "Whose review was requested"),
        bigint("requested_team_id", "Team whose review was requested.", path="requested_team.id"),
        json("dismissed_review", "Review that was dismissed, and why."),
        text("rename_from", "Title before.", path="rename.from"),
        text("rename_to", "Title after.", path="rename.to"),
        text("lock_reason", "Why the conversation was locked."),
        json("issue_type", "Type that was set."),
        json("prev_issue_type", "Previous type."),
        json("sub_issue", "Issue that became a sub-issue of this one, or no longer is."),
        json("parent_issue", "Issue that this one became a sub-issue of, or no longer is."),
        json("blocked_by", "Issue that blocks this one."),
        json("blocking", "Issue that this one blocks."),
        json("project_card", "Card of a project (classic)."),
        timestamp("created_at", "When it happened."),
    ),
    unused=(
        *"actor.* assignee.* assigner.* review_requester.* requested_reviewer.* requested_team.* issue.*".split(),
        *"label.* milestone.* rename.* node_id url commit_url author_association performed_via_github_app".split(),
        "intent",
    ),
    limits="Events of issues that were deleted or transferred: they vanish with the issue, which the audit finds. The "
    "oldest events of a repository with tens of thousands: GitHub cuts the list short; loaded ones stay.",
)
