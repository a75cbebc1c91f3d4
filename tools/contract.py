"""Compares the tables of every location with what its vendor publishes of them.

A location has the vendor's word in ``tests/vendor.py``, or there is none to compare with.
"""

import subprocess
import sys

from projects import Project, chosen, locations


def keeps(location: Project) -> bool:
    """Prints where the tables and the vendor differ; whether they do not."""
    print(f"{location.name}: ", end="", flush=True)
    if not (location.folder / "tests" / "vendor.py").exists():
        print("no schema of a vendor")
        return True
    done = subprocess.run([location.python, "-m", "tests.vendor"], cwd=location.folder, check=False)
    return done.returncode == 0


def main() -> int:
    """0 when no table differs, else 1."""
    found = {location.folder.name: location for location in locations()}
    kept = [keeps(found[name]) for name in chosen(list(found))]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
