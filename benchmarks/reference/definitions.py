"""A code location of ours with Dagster's default executor, a process for each step."""

import os
from importlib import import_module
from pathlib import Path

from dagster import Definitions, definitions, load_from_defs_folder, multi_or_in_process_executor
from dagster_shared.record import replace


@definitions
def defs() -> Definitions:
    location = import_module(f"{os.environ['LOCATION']}_location")
    ours = load_from_defs_folder(path_within_project=Path(str(location.__file__)).parent)
    return replace(ours, executor=multi_or_in_process_executor)
