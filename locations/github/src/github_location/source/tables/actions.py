"""GitHub Actions and deployments."""

from github_location.source.tables.columns import repo_table, user
from ingest_shared.tables import Child, bigint, boolean, json, text, timestamp

workflow_runs = repo_table(
    name="workflow_runs",
    description="Runs of workflows, each as its latest attempt; workflow_run_attempts has the earlier ones, and "
    "workflow_jobs the jobs of all.",
    docs="actions/workflow-runs#list-workflow-runs-for-a-repository",
    columns=(
        bigint("id", "Immutable id, the same for all attempts."),
        bigint("workflow_id", "Workflow."),
        text("name", "Name of the workflow."),
        text("display_title", "Title of the run."),
        text("path", "File of the workflow."),
        bigint("run_number", "Number within the workflow."),
        bigint("run_attempt", "Number of the latest attempt, from 1."),
        text("event", "What started it."),
        text("status", "queued, in_progress, waiting, completed and others."),
        text("conclusion", "success, failure, cancelled and others; null until it is completed."),
        text("head_branch", "Branch that it ran for."),
        text("head_sha", "Commit that it ran for, by its hash."),
        bigint("head_repository_id", "Repository of that branch.", path="head_repository.id"),
        *user("actor", "Who caused the run"),
        *user("triggering_actor", "Who caused the latest attempt"),
        bigint("check_suite_id", "Its check suite."),
        json("pull_requests", "Open pull requests of the branch."),
        json("referenced_workflows", "Reusable workflows that it called."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was created."),
        timestamp("run_started_at", "When the latest attempt was started."),
        timestamp("updated_at", "When it last changed."),
    ),
    unused=(
        *"actor.* triggering_actor.* head_repository.* head_repository_id repository head_commit node_id".split(),
        *"check_suite_node_id url jobs_url logs_url check_suite_url artifacts_url cancel_url rerun_url".split(),
        *"previous_attempt_url workflow_url".split(),
    ),
    limits="Changes of older runs at once: a run can be started again for 30 days, which is noticed at once among the "
    "newest 100 and once a day among the others. Runs that are older than the repository's retention period: since "
    "October 2026, GitHub removes those of a public one after at most 90 days; loaded ones stay, with `deleted_at`.",
)

workflow_run_attempts = repo_table(
    name="workflow_run_attempts",
    description="Earlier attempts of workflow runs that were run again; what all attempts share is in workflow_runs.",
    docs="actions/workflow-runs#get-a-workflow-run-attempt",
    key=("run_id", "run_attempt"),
    columns=(
        bigint("run_id", "Run.", origin="reader", to="workflow_runs"),
        bigint("run_attempt", "Number of the attempt, from 1."),
        bigint("attempts", "Number of the latest attempt, which is not in this table.", origin="reader"),
        text("status", "completed and others."),
        text("conclusion", "success, failure, cancelled and others."),
        *user("triggering_actor", "Who caused the attempt"),
        text("html_url", "Its page on GitHub."),
        timestamp("run_started_at", "When the attempt was started."),
        timestamp("updated_at", "When it last changed."),
    ),
    unused=("*", "triggering_actor.*"),
)

workflow_jobs = repo_table(
    name="workflow_jobs",
    description="Jobs of every attempt of the workflow runs.",
    docs="actions/workflow-jobs#list-jobs-for-a-workflow-run",
    columns=(
        bigint("id", "Immutable id; a new attempt has new jobs."),
        bigint("run_id", "Run, an id of the table workflow_runs.", origin="reader"),
        bigint("run_attempt", "Attempt of the run that it belongs to."),
        text("name", "Name."),
        text("workflow_name", "Name of the workflow."),
        text("status", "queued, in_progress, waiting, completed and others."),
        text("conclusion", "success, failure, cancelled and others; null until it is completed."),
        text("head_branch", "Branch that it ran for."),
        text("head_sha", "Commit that it ran for, by its hash."),
        json("labels", "Labels of the requested runner."),
        bigint("runner_id", "Runner; null until it has one."),
        text("runner_name", "Name of the runner."),
        bigint("runner_group_id", "Group of the runner."),
        text("runner_group_name", "Name of that group."),
        text("html_url", "Its page on GitHub."),
        timestamp("created_at", "When it was created."),
        timestamp("started_at", "When it was started."),
        timestamp("completed_at", "When it ended."),
    ),
    children=(
        Child(
            name="workflow_steps",
            description="Steps of the jobs.",
            path="steps",
            key=("job_id", "number"),
            columns=(
                bigint("job_id", "Job.", path="id", origin="parent"),
                bigint("number", "Position in the job, from 1."),
                text("name", "Name."),
                text("status", "queued, in_progress or completed."),
                text("conclusion", "success, failure, skipped and others; null until it is completed."),
                timestamp("started_at", "When it was started."),
                timestamp("completed_at", "When it ended."),
            ),
        ),
    ),
    unused=(*"run_id run_url node_id url check_run_url".split(),),
)

deployments = repo_table(
    name="deployments",
    description="Deployments of each repository.",
    docs="deployments/deployments#list-deployments",
    columns=(
        bigint("id", "Immutable id."),
        text("environment", "Where it was deployed to."),
        text("original_environment", "Where it was originally to be deployed to."),
        text("task", "What was done: deploy, or a custom name."),
        text("ref", "Branch, tag or commit that was deployed."),
        text("sha", "Commit that was deployed, by its hash."),
        text("description", "Text."),
        json("payload", "Data that its creator attached."),
        boolean("transient_environment", "Whether the environment is temporary."),
        boolean("production_environment", "Whether end users use it."),
        *user("creator", "Who made it"),
        timestamp("created_at", "When it was made."),
        timestamp("updated_at", "When it last changed, for example by a new status."),
    ),
    unused=(*"creator.* node_id url statuses_url repository_url performed_via_github_app".split(),),
    limits="Changes of deployments that are not among the newest 100: the audit finds them.",
)

deployment_statuses = repo_table(
    name="deployment_statuses",
    description="The statuses of each deployment.",
    docs="deployments/statuses#list-deployment-statuses",
    columns=(
        bigint("id", "Immutable id."),
        bigint("deployment_id", "Deployment, an id of the table deployments.", origin="reader"),
        text("state", "queued, pending, in_progress, success, failure, error or inactive."),
        text("environment", "Where it was deployed to."),
        text("environment_url", "Address of what was deployed."),
        text("log_url", "Address of the log."),
        text("description", "Text."),
        *user("creator", "Who set it"),
        timestamp("created_at", "When it was set."),
        timestamp("updated_at", "When it was last changed."),
    ),
    unused=(*"creator.* node_id url target_url deployment_url repository_url performed_via_github_app".split(),),
    limits="New statuses directly: they are read when their deployment has a new `updated_at`.",
)
