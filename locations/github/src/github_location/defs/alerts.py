"""Alerts the owners about failed runs and checks.

https://docs.dagster.io/guides/automate/sensors/run-status-sensors
"""

from github_location import OWNERS
from ingest_shared.alerts import alerts_for

alerts = alerts_for("github", OWNERS)
