"""The tables of the GitHub mirror, a file for each area: contract, documentation and column schema at once.

To add a column, name its path in GitHub's JSON; to add a table, see the README.
"""

from github_location.source.tables import actions, code, metrics, people, repository, review, tracker
from ingest_shared.tables import tables_in

TABLES = tables_in(repository, tracker, review, code, actions, people, metrics)
