"""What the assets use, and how their runs execute.

One ``@dlt_assets`` is one step, so a process per step would only cost start-up time and memory.
"""

from dagster import Definitions, definitions, in_process_executor

from ingest_shared.resource import IngestDltResource


@definitions
def resources() -> Definitions:
    return Definitions(resources={"dlt": IngestDltResource()}, executor=in_process_executor)
