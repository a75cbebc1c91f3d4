"""The tables of the GitHub mirror, a file for each area: contract, documentation and column schema at once.

To add a column, name its path in GitHub's JSON; to add a table, see the README.
"""

from github_location.source.tables import code, repository, review, tracker

TABLES = {
    table.name: table
    for table in (
        repository.repositories,
        tracker.issues,
        review.pull_requests,
        tracker.issue_comments,
        code.commits,
        repository.releases,
        tracker.labels,
        tracker.milestones,
    )
}
