"""The code location ``github``: everything in the folder ``defs``.

https://docs.dagster.io/guides/build/projects-and-components
"""

from pathlib import Path

from dagster import Definitions, definitions, load_from_defs_folder


@definitions
def defs() -> Definitions:
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
