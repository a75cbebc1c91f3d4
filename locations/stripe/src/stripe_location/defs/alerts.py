"""Alerts the owners about failed runs and checks.

https://docs.dagster.io/guides/automate/sensors/run-status-sensors
"""

from ingest_shared.alerts import alerts_for
from stripe_location import OWNERS

alerts = alerts_for("stripe", OWNERS)
