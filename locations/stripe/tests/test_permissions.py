"""What a restricted key needs is said of every table."""

from stripe_location.source import PERMISSIONS
from stripe_location.source.tables import TABLES


def test_the_permission_of_every_table_is_named() -> None:
    assert PERMISSIONS.keys() == TABLES.keys()
