"""Walls in Dagster's storage: a location reads and writes only its own rows.

Each location's code server and runs sign in as ``dagster-<location>``, a member of ``LOCATIONS``; webserver
and daemon as ``dagster``, which owns the tables, so that no policy applies to them. The rights below allow the
statements that Dagster's own code sends from a run or a code server, and no more:

- Rights to write are granted by column, never on a table: with one on the table, a login can lock it whole, and
  with one on ``id``, take the ids of others' events.
- In a run's record, a location may update the run's state, and add tags that control nothing. The rest stays as
  webserver and daemon wrote it, whatever a run writes over it.
- An asset key begins with the name of its location.

https://www.postgresql.org/docs/17/ddl-rowsecurity.html
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2.extensions import connection

LOCATIONS = "locations-dagster"
"""The group that has the rights. No location can have this name."""
LOGIN = "dagster-{}"
"""A location's login."""

FUNCTIONS = """
CREATE SCHEMA IF NOT EXISTS platform;
GRANT USAGE ON SCHEMA platform TO "locations-dagster";

CREATE OR REPLACE FUNCTION platform.location() RETURNS text STABLE PARALLEL SAFE
  RETURN substr(CURRENT_USER, length('dagster-') + 1);

-- An asset key is stored as the JSON of its parts: ["github", "issues"].
CREATE OR REPLACE FUNCTION platform.is_own_asset(asset_key text) RETURNS boolean STABLE PARALLEL SAFE
  RETURN starts_with(asset_key, '["' || platform.location() || '"');

-- A key that Dagster can read, so that a list of assets can always be shown.
CREATE OR REPLACE FUNCTION platform.is_asset_key(asset_key text) RETURNS boolean IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN asset_key IS JSON ARRAY
    THEN NOT jsonb_path_exists(asset_key::jsonb, 'strict $[*] ? (@.type() != "string")') ELSE false END;

-- A run may not set the tags that control Dagster, the launcher and dagster-k8s, nor who launched it. It may say why it
-- failed, in a word that Dagster knows: the daemon reads that of the failed runs of all locations together.
CREATE OR REPLACE FUNCTION platform.is_free_tag(key text, value text) RETURNS boolean IMMUTABLE PARALLEL SAFE
  RETURN CASE key
    WHEN 'dagster/failure_reason' THEN value IN ('JOB_INITIALIZATION_FAILURE', 'RUN_EXCEPTION', 'RUN_WORKER_RESTART',
      'START_TIMEOUT', 'STEP_FAILURE', 'UNEXPECTED_TERMINATION', 'UNKNOWN')
    WHEN 'dagster/will_retry' THEN value IN ('true', 'false')
    ELSE key !~ '^(\\.?(dagster|docker|ingest)|user$)' END;

-- A time that Python can represent, so that a list of runs or events can always be shown.
CREATE OR REPLACE FUNCTION platform.is_possible(epoch double precision) RETURNS boolean IMMUTABLE PARALLEL SAFE
  RETURN coalesce(epoch BETWEEN 0 AND 253370764800, true);

CREATE OR REPLACE FUNCTION platform.is_possible(at timestamp) RETURNS boolean IMMUTABLE PARALLEL SAFE
  RETURN platform.is_possible(extract(epoch FROM at)::double precision);

CREATE OR REPLACE FUNCTION platform.keep_record() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  old_body jsonb := OLD.run_body;
  new_tags jsonb := coalesce((NEW.run_body::jsonb) -> 'tags', '{}');
  old_tags jsonb := coalesce(old_body -> 'tags', '{}');
  enum text := old_body #>> '{status,__enum__}';
BEGIN
  IF NEW.status IS DISTINCT FROM OLD.status
      AND coalesce(NEW.status, '') NOT IN ('STARTED', 'SUCCESS', 'FAILURE', 'CANCELING', 'CANCELED') THEN
    RAISE EXCEPTION 'a run cannot set its status to %', NEW.status;
  END IF;
  IF NOT (platform.is_possible(NEW.start_time) AND platform.is_possible(NEW.end_time)
      AND platform.is_possible(NEW.update_timestamp)) THEN
    RAISE EXCEPTION 'a run cannot set such a time for its start, its end or its update';
  END IF;
  -- A run that has ended stays so: each run that has begun takes a place in the queue.
  IF coalesce(OLD.status, '') NOT IN ('STARTING', 'STARTED', 'CANCELING')
      OR OLD.status = 'CANCELING' AND NEW.status = 'STARTED' THEN
    NEW.status := OLD.status;
  END IF;
  SELECT jsonb_object_agg(key, value) INTO new_tags FROM jsonb_each(new_tags)
    WHERE platform.is_free_tag(key, value #>> '{}');
  new_tags := old_tags || coalesce(new_tags, '{}');
  IF jsonb_path_exists(new_tags, 'strict $.* ? (@.type() != "string")') THEN
    RAISE EXCEPTION 'a run cannot set a tag that is not text';
  END IF;
  IF length(new_tags::text) > greatest(length(old_tags::text), 100000) THEN
    RAISE EXCEPTION 'a run cannot set tags of more than 100,000 characters';
  END IF;
  OLD.status := NEW.status;
  OLD.start_time := NEW.start_time;
  OLD.end_time := NEW.end_time;
  OLD.update_timestamp := NEW.update_timestamp;
  OLD.run_body := old_body || jsonb_build_object(
    'status', jsonb_build_object('__enum__', split_part(enum, '.', 1) || '.' || NEW.status),
    'tags', new_tags);
  RETURN OLD;
END $$;

ALTER TABLE runs
  ADD COLUMN IF NOT EXISTS ingest_location text GENERATED ALWAYS AS (run_body::jsonb #>>
    '{external_pipeline_origin,external_repository_origin,repository_location_origin,location_name}') STORED,
  ADD COLUMN IF NOT EXISTS ingest_plan text GENERATED ALWAYS AS (run_body::jsonb ->>
    'execution_plan_snapshot_id') STORED;

CREATE OR REPLACE TRIGGER keep_record BEFORE UPDATE ON runs FOR EACH ROW
  WHEN (CURRENT_USER <> 'dagster') EXECUTE FUNCTION platform.keep_record();

-- The queue reads the records of many runs at once, whoever requested them.
CREATE OR REPLACE FUNCTION platform.limit_record() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF length(NEW.run_body) > 500000 THEN
    RAISE EXCEPTION 'the record of a run has at most 500,000 characters, with its configuration and tags';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER limit_record BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION platform.limit_record();

-- Whatever waits is read again and again: the runs of all locations every second, and all backfills at once into
-- the daemon's memory. A sensor requests hundreds at each of its ticks.
ALTER TABLE bulk_actions
  ADD COLUMN IF NOT EXISTS ingest_location text GENERATED ALWAYS AS (coalesce(body::jsonb #>>
    '{partition_set_origin,external_repository_origin,repository_location_origin,location_name}',
    body::jsonb #>> '{asset_selection,0,path,0}')) STORED;

CREATE OR REPLACE FUNCTION platform.limit_waiting() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  waiting bigint;
  size bigint;
BEGIN
  EXECUTE format('SELECT count(*), sum(octet_length(%I)) FROM public.%I WHERE status = ANY ($1)
    AND ingest_location = $2', TG_ARGV[1], TG_TABLE_NAME)
    INTO waiting, size USING TG_ARGV[0]::text[], NEW.ingest_location;
  IF waiting > TG_ARGV[2]::int OR waiting > 1 AND size > 50000000 THEN
    RAISE EXCEPTION 'a location has at most % % waiting, of 50 MB together: % has %, of % MB',
      TG_ARGV[2], TG_ARGV[3], NEW.ingest_location, waiting, size / 1000000;
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER limit_waiting AFTER INSERT ON runs FOR EACH ROW
  EXECUTE FUNCTION platform.limit_waiting('{QUEUED}', 'run_body', 2000, 'runs');

CREATE OR REPLACE TRIGGER limit_waiting AFTER INSERT ON bulk_actions FOR EACH ROW
  EXECUTE FUNCTION platform.limit_waiting('{REQUESTED, CANCELING, FAILING}', 'body', 100, 'backfills');

-- The limits below apply to the daemon, too, which writes what a location's sensors answer. They count all rows, though
-- a location sees only its own; only one connection of a location inserts at a time, so that the count is right.
CREATE OR REPLACE FUNCTION platform.take_turns() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  IF SESSION_USER <> 'dagster' THEN
    PERFORM pg_advisory_xact_lock(hashtextextended(SESSION_USER, 0));
  END IF;
END $$;
REVOKE ALL ON FUNCTION platform.take_turns FROM PUBLIC;

CREATE OR REPLACE FUNCTION platform.limit_assets() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
BEGIN
  PERFORM platform.take_turns();
  IF NOT EXISTS (SELECT FROM public.asset_keys WHERE asset_key = NEW.asset_key) AND (SELECT count(*)
      FROM public.asset_keys WHERE split_part(asset_key, '"', 2) = split_part(NEW.asset_key, '"', 2)) >= 1000 THEN
    RAISE EXCEPTION 'a location has at most 1000 assets';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER limit_assets BEFORE INSERT ON asset_keys FOR EACH ROW
  EXECUTE FUNCTION platform.limit_assets();

-- The UI's run filter offers the tags of all runs.
CREATE OR REPLACE FUNCTION platform.limit_tags() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
DECLARE
  tags bigint;
BEGIN
  PERFORM platform.take_turns();
  EXECUTE format('SELECT count(*) FROM public.%I WHERE %2$I = $1.%2$I', TG_TABLE_NAME, TG_ARGV[0]) INTO tags USING NEW;
  IF tags >= 1000 THEN
    RAISE EXCEPTION 'a run or an event has at most 1000 tags';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER limit_tags BEFORE INSERT ON run_tags FOR EACH ROW
  EXECUTE FUNCTION platform.limit_tags('run_id');

CREATE OR REPLACE TRIGGER limit_tags BEFORE INSERT ON asset_event_tags FOR EACH ROW
  EXECUTE FUNCTION platform.limit_tags('event_id');

-- Counts the keys of all of a location's names together; the daemon reads them for each page of an asset that has them.
CREATE OR REPLACE FUNCTION platform.limit_partitions() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
  IF EXISTS (SELECT FROM added WHERE length(partition) > 1000 OR length(partitions_def_name) > 1000) THEN
    RAISE EXCEPTION 'the key of a partition has at most 1000 characters';
  END IF;
  IF EXISTS (SELECT FROM public.dynamic_partitions WHERE split_part(partitions_def_name, '/', 1) IN
      (SELECT split_part(partitions_def_name, '/', 1) FROM added)
      GROUP BY split_part(partitions_def_name, '/', 1) HAVING count(*) > 100000) THEN
    RAISE EXCEPTION 'a location has at most 100,000 keys of dynamic partitions';
  END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER limit_partitions AFTER INSERT ON dynamic_partitions REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION platform.limit_partitions();
"""

OWN_RUN = "EXISTS (SELECT FROM runs WHERE runs.run_id = {0}.run_id)"
"""The policy on ``runs`` applies to this subquery, too: it only finds a location's own runs."""
OWN_ASSET = "platform.is_own_asset(asset_key)"
NEW_ASSET = f"{OWN_ASSET} AND platform.is_asset_key(asset_key)"
LONGEST = 1_000_000
"""Characters of an event: webserver and daemon hold hundreds of them in memory at once."""
LONGEST_LATEST = 100_000
"""Characters of an asset's latest event: purge, monitor and the list of assets read those of all locations."""
LONGEST_TAG = 10_000
"""Characters of a tag's value."""
LONGEST_NAME = 200
"""Characters of a tag's key: a page lists the keys of all runs."""
LONGEST_PART = 1000
"""Characters of the names of a step and of a partition, which pages list as well."""
TAG = f"coalesce(length(key), 0) <= {LONGEST_NAME} AND coalesce(length(value), 0) <= {LONGEST_TAG}"
PARTS = f"coalesce(length(step_key), 0) <= {LONGEST_PART} AND coalesce(length(partition), 0) <= {LONGEST_PART}"
EVENT = f"coalesce({{0}} IS JSON OBJECT AND length({{0}}) <= {LONGEST}, true)"


@dataclass(frozen=True)
class Table:
    """What a location may do with one of Dagster's tables.

    ``read`` and ``write`` are conditions on a row; ``write`` must also hold for a row after its update.
    ``named`` are policies that an inserted row must meet as well, by name; the error shows the name.
    """

    name: str
    read: str = "true"
    write: str = "false"
    inserts: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()

    def statements(self) -> Iterator[str]:
        """Yields the statements that grant exactly these rights, and revoke all others."""
        yield f'REVOKE ALL ON {self.name} FROM "{LOCATIONS}"'
        yield f'GRANT SELECT ON {self.name} TO "{LOCATIONS}"'
        yield f"ALTER TABLE {self.name} ENABLE ROW LEVEL SECURITY"
        yield from self._policy("read", f"FOR SELECT TO {{}} USING ({self.read})")
        if self.inserts:
            yield f'GRANT INSERT ({", ".join(self.inserts)}) ON {self.name} TO "{LOCATIONS}"'
            yield f'GRANT USAGE ON SEQUENCE {self.name}_id_seq TO "{LOCATIONS}"'
            yield from self._policy("insert", f"FOR INSERT TO {{}} WITH CHECK ({self.write})")
        if self.updates:
            yield f'GRANT UPDATE ({", ".join(self.updates)}) ON {self.name} TO "{LOCATIONS}"'
            yield from self._policy("update", f"FOR UPDATE TO {{}} USING ({self.write}) WITH CHECK ({self.write})")
        for name, must_hold in self.named:
            yield from self._policy(name, f"AS RESTRICTIVE FOR INSERT TO {{}} WITH CHECK ({must_hold})")

    def _policy(self, name: str, definition: str) -> Iterator[str]:
        yield f'DROP POLICY IF EXISTS "{name}" ON {self.name}'
        yield f'CREATE POLICY "{name}" ON {self.name} ' + definition.format(f'"{LOCATIONS}"')


TABLES = (
    Table(
        "runs",
        read="ingest_location = platform.location()",
        write="ingest_location = platform.location()",
        # The trigger `keep_record` decides which changes are kept.
        updates=("status", "run_body", "update_timestamp", "start_time", "end_time", "partition", "partition_set"),
    ),
    Table(
        "run_tags",
        read=OWN_RUN.format("run_tags"),
        write=f"{OWN_RUN.format('run_tags')} AND platform.is_free_tag(key, value) AND {TAG}",
        inserts=("run_id", "key", "value"),
        updates=("value",),
    ),
    Table(
        "event_logs",
        # Events without a run are about an asset: somebody materialized it by hand, or wiped it.
        read=f"{OWN_RUN.format('event_logs')} OR {OWN_ASSET}",
        write=f'{OWN_RUN.format("event_logs")} AND {EVENT.format("event")} AND platform.is_possible("timestamp")'
        # Readers of an event go by the run id inside it.
        f" AND event::json ->> 'run_id' = run_id AND {PARTS}",
        inserts=("run_id", "event", "dagster_event_type", "timestamp", "step_key", "asset_key", "partition"),
        named=(("the asset key begins with the name of the location", f"asset_key IS NULL OR {NEW_ASSET}"),),
    ),
    Table(
        "asset_keys",
        read=OWN_ASSET,
        write=f"{NEW_ASSET} AND platform.is_possible(last_materialization_timestamp)"
        f" AND {EVENT.format('last_materialization')}"
        f" AND coalesce(length(last_materialization) <= {LONGEST_LATEST}, true)",
        inserts=("asset_key", "last_materialization", "last_run_id", "last_materialization_timestamp"),
        updates=("last_materialization", "last_run_id", "last_materialization_timestamp"),
    ),
    Table(
        "asset_event_tags",
        read=OWN_ASSET,
        # All tags of an event count towards its limit, so only its owner may add them, once the event exists.
        write=f"{NEW_ASSET} AND EXISTS (SELECT FROM event_logs WHERE event_logs.id = event_id) AND {TAG}",
        inserts=("event_id", "asset_key", "key", "value", "event_timestamp"),
    ),
    Table(
        "asset_check_executions",
        read=OWN_ASSET,
        write=f"{NEW_ASSET} AND {OWN_RUN.format('asset_check_executions')}"
        f" AND platform.is_possible(evaluation_event_timestamp) AND {EVENT.format('evaluation_event')}"
        " AND execution_status IN ('PLANNED', 'SUCCEEDED', 'FAILED')",
        inserts=(
            "asset_key",
            "check_name",
            "partition",
            "run_id",
            "execution_status",
            "evaluation_event",
            "evaluation_event_timestamp",
            "evaluation_event_storage_id",
            "materialization_event_storage_id",
        ),
        updates=(
            "partition",
            "execution_status",
            "evaluation_event",
            "evaluation_event_timestamp",
            "evaluation_event_storage_id",
            "materialization_event_storage_id",
        ),
    ),
    Table(
        "snapshots",
        read="EXISTS (SELECT FROM runs WHERE snapshots.snapshot_id IN (runs.snapshot_id, runs.ingest_plan))",
    ),
    # By name, such as `github/repositories`, since the keys of partitions are a location's own data.
    Table("dynamic_partitions", read="split_part(partitions_def_name, '/', 1) = platform.location()"),
    Table("kvs", read="key = '__latest_defs_state_info__'"),
    Table("secondary_indexes"),
    Table("alembic_version"),
    Table("instance_info"),
)


def wall_off(storage: connection) -> None:
    """Sets up all rights and limits, as the owner of Dagster's tables; does nothing if this version already did.

    Each table, and each paragraph of :data:`FUNCTIONS`, has a transaction of its own: runs continue during an upgrade,
    and one that holds a lock on one table and waits for one on another must not deadlock with this.
    """
    if is_walled_off(storage):
        return
    with storage.cursor() as cursor:
        cursor.execute("SET search_path = pg_catalog, public")  # pg_catalog first: Dagster's tables are in public
        for statements in _statements():
            cursor.execute(statements)
        cursor.execute("COMMENT ON SCHEMA platform IS %s", [_version()])


def is_walled_off(storage: connection) -> bool:
    """Returns whether :func:`wall_off` of this version has run."""
    with storage.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.obj_description(to_regnamespace('platform'), 'pg_namespace')")
        return bool(cursor.fetchone() == (_version(),))


def _statements() -> list[str]:
    return [*FUNCTIONS.split("\n\n"), *("; ".join(table.statements()) for table in TABLES)]


def _version() -> str:
    return hashlib.sha256("".join(_statements()).encode()).hexdigest()
