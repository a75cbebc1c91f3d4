"""Starts a run's container from a location's image and waits for its end, as `ingest deploy` does before it swaps.

    python -m ingest_host.trial NAME TAG        in the container of the launch service

The container is created like a run's (:func:`ingest_host.launch.run_container`): image, user, secrets, network, role
and limits are those that the next run will have. It opens what a run opens and loads nothing
(`shared/src/ingest_shared/trial.py`). This is not a verb of the launch service: only someone with access to the
engine can run it.
"""

import os
import sys
from contextlib import suppress

import docker
import requests

from ingest_host.launch import Launch, Run, engine, reason, run_container

SECONDS = 60
"""The longest that it may take; a run opens all of it in about ten."""


def try_out(launch: Launch, location: str, tag: str) -> str:
    """Returns why a run of the image would fail, followed by its last lines; empty if it would not."""
    run = Run("trial", "", location, f"ingest-{location}:{tag}")
    command = ["python", "-m", "ingest_shared.trial", location, launch.instance]
    name = f"{launch.project}-{location}-trial"
    with suppress(docker.errors.NotFound):  # left by a killed deploy; a location's deploys swap one at a time
        launch.engine.containers.get(name).remove(v=True, force=True)
    container = launch.engine.containers.create(**run_container(launch.project, name, run, command))
    try:
        container.start()
        ended = container.wait(timeout=SECONDS)
        container.reload()
        return reason(container) if ended["StatusCode"] else ""
    except requests.exceptions.RequestException:  # what docker-py raises on a timeout
        return f"it did not end within {SECONDS} s"
    finally:
        container.remove(v=True, force=True)


def main() -> None:
    location, tag = sys.argv[1:]
    if why := try_out(Launch(engine(), os.environ["INGEST_PROJECT"]), location, tag):
        raise SystemExit(why)


if __name__ == "__main__":
    main()
