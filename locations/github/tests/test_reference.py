"""The YAML component beside the tables."""

from ingest_testing import run_job

from .origin import Warehouse


def test_it_loads_the_reference_data(warehouse: Warehouse) -> None:
    run = run_job(warehouse, "reference_ingest")
    assert run.success
    assert run.metadata.keys() == {"licenses"}
    assert ("mit", "MIT License") in warehouse.query("SELECT key, name FROM {licenses}")
