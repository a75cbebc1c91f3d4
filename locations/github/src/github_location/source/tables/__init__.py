"""The tables of the GitHub mirror, a file for each area: contract, documentation and column schema at once.

To add a column, name its path in GitHub's JSON; to add a table, see the README.
"""

from github_location.source.tables import actions, code, metrics, people, repository, review, tracker

TABLES = {
    table.name: table
    for table in (
        repository.repositories,
        tracker.issues,
        review.pull_requests,
        review.reviews,
        review.review_comments,
        review.pull_request_details,
        review.pull_request_files,
        review.pull_request_commits,
        tracker.issue_comments,
        tracker.issue_events,
        code.commits,
        code.commit_details,
        actions.workflow_runs,
        actions.workflow_run_attempts,
        actions.workflow_jobs,
        actions.deployments,
        actions.deployment_statuses,
        repository.releases,
        tracker.labels,
        tracker.milestones,
        tracker.issue_types,
        code.branches,
        code.tags,
        people.stargazers,
        people.collaborators,
        people.teams,
        people.members,
        metrics.repo_stats_daily,
        metrics.traffic_views,
        metrics.traffic_clones,
    )
}
