"""The code location ``github`` with Dagster's default executor, a process for each step."""

from pathlib import Path

from dagster import Definitions, definitions, load_from_defs_folder, multi_or_in_process_executor
from dagster_shared.record import replace

import github_location


@definitions
def defs() -> Definitions:
    ours = load_from_defs_folder(path_within_project=Path(github_location.__file__).parent)
    return replace(ours, executor=multi_or_in_process_executor)
