"""Files as the origin of a table: a folder, local or in S3-compatible storage, and a pattern of names.

The rows of a table belong to the files that they come from. A file that is new is added, one whose size, time or
ETag changed replaces its rows, and one that vanished takes its rows with it. A file that cannot be read whole
is a gap in ``load_gaps``; the rows that were loaded from it before stay. What was loaded from which version of a
file is kept in the table ``loaded_files``, so that the next sync lists the folder and reads only what changed.
"""

import glob
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import IO, Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.storages import FilesystemConfiguration
from dlt.common.storages.fsspec_filesystem import MTIME_DISPATCH, fsspec_from_config

from ingest_shared import pipelines
from ingest_shared.columnar import Decoder, arrow_schema
from ingest_shared.errors import ApiError, PayloadError, SettingError, first_line
from ingest_shared.loading import Load
from ingest_shared.notes import LOADED_FILES
from ingest_shared.reading.audit import COUNTS
from ingest_shared.reading.compare import comparison
from ingest_shared.reading.formats import Batch, Format, decompressed
from ingest_shared.reading.held import warehouse
from ingest_shared.reading.tombstones import query
from ingest_shared.settings import number_setting, setting_help, text_setting
from ingest_shared.tables import UNDECLARED, Table, all_columns, bigint, text

FILE = text("file", "The file that the row is in: its path in the folder.", origin="reader")
ROW = bigint("row", "The number of the row in its file, from 1.", origin="reader")
FILES_AT_ONCE = 4
BYTES_IN_MEMORY = 32_000_000
"""Bytes of each file that are held in memory; the rest waits on disk until the whole file is known to be valid."""
BEGINS_FOR = 180.0
"""Seconds after which a sync begins no further files; what was read is then loaded, and it continues with the rest."""
SETTLED_AFTER = timedelta(seconds=2)
"""Seconds for which a file without an ETag must have been unchanged when it was read: it may change again within the
same tick of the storage's clock, which would not show. A younger file is read again by the next sync."""
DELETES_BELIEVED = 0.1


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of a table: those whose path in the folder matches the pattern, such as ``orders/*.csv``."""

    table: Table
    pattern: str
    format: Format

    def __post_init__(self) -> None:
        table = self.table
        if table.merge_key != (FILE.name,) or FILE not in table.columns:
            raise ValueError(
                f"table {table.name}: its rows belong to files: add the column FILE and merge_key=('file',)"
            )
        if table.children:
            raise ValueError(f"table {table.name}: a table of files has no child tables: declare the list as json()")

    @property
    def facts(self) -> dict[str, str]:
        """How its rows are read, for the page of tables."""
        return {
            "Files": f"`{self.pattern}`, {type(self.format).__name__}",
            "Read": "The files that are new, or whose size, time or ETag changed since the previous sync.",
            "Cost": "One listing of the folder, and each of these files once.",
            "Deletes": "A file that is gone takes its rows with it; so does one that no longer has a row.",
        }


@dataclass(frozen=True)
class Version:
    """Identifies a version of a file without reading it."""

    size: int
    modified: datetime
    etag: str | None

    def is_settled(self, at: datetime) -> bool:
        return self.etag is not None or self.modified < at - SETTLED_AFTER


class Folder:
    """The folder that ``<section>.bucket_url`` names, opened through dlt's own file systems at the first use in a run.

    https://dlthub.com/docs/dlt-ecosystem/verified-sources/filesystem/basic
    """

    def __init__(self, section: str) -> None:
        self.section = section
        self.setting = f"{section}.bucket_url"

    def open(self) -> None:
        """Raises :class:`SettingError` if the address or a credential is missing or wrong."""
        if hasattr(self, "_files"):
            return
        self.url = text_setting(self.setting, "")
        if not self.url:
            raise SettingError(f"{self.setting} is not set: it is the folder to read; set {setting_help(self.setting)}")
        self.deletes_believed = number_setting(f"{self.section}.deletes_believed", DELETES_BELIEVED)
        try:
            config = resolve_configuration(FilesystemConfiguration(self.url), sections=tuple(self.section.split(".")))
            self._modified = MTIME_DISPATCH[config.protocol]
            self._files, root = fsspec_from_config(config)
        except KeyError:
            raise SettingError(
                f"{self.setting} is {self.url!r}; write it as a folder or as s3://bucket/folder"
            ) from None
        except (ConfigurationException, ImportError, ValueError) as error:
            raise SettingError(f"cannot open {self.setting} {self.url!r}: {first_line(error)}") from None
        self._root = root.rstrip("/")

    def list(self, pattern: str) -> dict[str, Version]:
        """The files whose path in the folder matches, in the order of their names."""
        try:
            if self.deletes_believed < 1 and not self._files.isdir(self._root):  # in S3, an empty folder does not exist
                raise SettingError(f"{self.setting} is {self.url!r}: the folder does not exist or is empty")
            found = self._files.glob(f"{glob.escape(self._root)}/{pattern}", detail=True)
        except Exception as error:
            if not is_of_storage(error):
                raise
            why = f"{first_line(error)}; check `{self.setting}` and `{self.section}.credentials`"
            raise ApiError(f"cannot list {self.url}: {why}") from None
        names = {path.removeprefix(f"{self._root}/"): info for path, info in found.items() if info["type"] == "file"}
        return {name: self._version(names[name]) for name in sorted(names)}

    def version(self, name: str) -> Version:
        return self._version(self._files.info(f"{self._root}/{name}"))

    def read(self, name: str) -> IO[bytes]:
        return decompressed(self._files.open(f"{self._root}/{name}", "rb"), name)

    def _version(self, info: Mapping[str, Any]) -> Version:
        modified = self._modified(dict(info))
        if modified is None:
            raise SettingError(f"{self.setting} is {self.url!r}, whose listing has no modification times")
        return Version(int(info["size"]), modified, info.get("ETag") or info.get("etag"))


def _utf8(name: str) -> str:
    """The name of a file, with bytes that are not UTF-8 escaped so that the warehouse can hold them: ``\\udcff``."""
    return name.encode(errors="backslashreplace").decode()


def is_of_storage(error: Exception) -> bool:
    """Whether the storage raised it: the operating system or an S3 client."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("botocore", "aiohttp")


@dataclass
class _Read:
    """A file that was read completely: its rows, in memory or on disk."""

    name: str
    version: Version
    rows: int
    spool: IO[bytes]
    undeclared: set[str]
    missing: set[str]

    def tables(self) -> Iterator[pa.Table]:
        with self.spool, pa.ipc.open_stream(self.spool) as stream:
            for batch in stream:
                yield pa.Table.from_batches([batch])


class FileReader:
    """Reads the files of one table for :func:`ingest_shared.loading.mirror`."""

    notes = (LOADED_FILES,)
    """The additional tables that it loads."""

    def __init__(self, files: Files, folder: Folder, audit: bool = False) -> None:
        self.files = files
        self.folder = folder
        self.audit = audit
        self.table = files.table
        self.decoder = Decoder(files.table)
        self._missing: set[str] = set()
        """Columns that a file lacked, which is logged only once."""
        self._bad: dict[str, tuple[Version, str]] = {}
        """The files that could not be read, so that later parts of the run do not try them again."""

    def __call__(self, load: Load) -> Iterator[Mapping[str, pa.Table] | None]:
        yield None  # until all tables of the run are known
        load.disposition = "replace" if load.is_first else "merge"  # removes what a killed first load left
        self.folder.open()
        self._now = datetime.now(UTC)
        listed = self.folder.list(self.files.pattern)
        for name in [name for name in listed if name != _utf8(name)]:
            load.leave_out(_utf8(name), "its name is not UTF-8: rename it")
            del listed[name]
        known = self._known()
        gone = self._gone(load, listed, known)
        load.audits = [] if self.audit else None
        if self.audit and not load.is_first:
            wanted = self._audited(load, listed, known, gone)
        else:
            wanted = [name for name in listed if load.is_first or known.get(name) != listed[name]]
        for read in self._whole(load, wanted, listed):
            self._count(load, read)
            yield from self._loaded(load, read)
        for name in sorted(gone):
            yield self._noted(load, name, None, 0)
            yield self._nothing(name)
        load.scopes_read = sum(name not in load.gaps for name in listed) - load.postponed

    # Which files to read.

    def _known(self) -> dict[str, Version | None]:
        """What the warehouse holds of each file: its version, or None if that is not certain.

        A killed load may have changed rows without being complete; dlt records completion last.
        """
        sql = (
            "SELECT name, size, modified_at, etag, loaded_at, deleted_at, "
            "load_id IN (SELECT load_id FROM {_dlt_loads} WHERE status = 0) "
            f"FROM {{{LOADED_FILES.name}}} WHERE resource = %s"
        )
        known: dict[str, Version | None] = {}
        for name, size, modified, etag, loaded, deleted, is_complete in query(sql, self.table.name):
            version = Version(size, modified.astimezone(UTC), etag) if is_complete and not deleted else None
            if not is_complete or not deleted:
                known[name] = version if version and version.is_settled(loaded.astimezone(UTC)) else None
        return known

    def _gone(self, load: Load, listed: Mapping[str, Version], known: Mapping[str, Any]) -> set[str]:
        """The files that vanished. If there are many, two listings must agree, and the folder must not be empty."""
        gone = known.keys() - listed.keys()
        pattern, believed = self.files.pattern, self.folder.deletes_believed
        if not listed and believed < 1:
            why = f"no file in {self.folder.url} matches"
            if gone:
                why += (
                    f", though {len(gone)} did: their rows stay; "
                    f"if all were meant to go, set {self.folder.section}.deletes_believed to 1 for one run"
                )
            load.leave_out(pattern, why)
            return set()
        if len(gone) > len(known) * believed:
            again = known.keys() - self.folder.list(pattern).keys()
            if again != gone:
                load.leave_out(pattern, f"{len(gone)} files were missing in one listing, {len(again)} in the next")
                return set()
        return set(gone)

    # Reading.

    def _whole(self, load: Load, wanted: Iterable[str], listed: Mapping[str, Version]) -> Iterator[_Read]:
        """The files that could be read completely; the others are left out, or left to the next part of the run."""
        until = float("inf") if self.audit else time.monotonic() + BEGINS_FOR
        folder = str(pipelines.current().working_dir)
        with ThreadPoolExecutor(FILES_AT_ONCE) as threads:

            def begun() -> Iterator[Future[_Read | str]]:
                for index, name in enumerate(wanted):
                    if index and time.monotonic() > until:
                        load.postponed += 1
                    else:
                        yield threads.submit(self._read, name, listed[name], folder)

            reading = begun()
            ahead = deque(islice(reading, FILES_AT_ONCE))
            names = iter(wanted)
            try:
                while ahead:
                    name, read = next(names), ahead.popleft().result()
                    ahead += islice(reading, 1)
                    if isinstance(read, _Read):
                        yield read
                    else:
                        load.leave_out(name, read)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, name: str, version: Version, folder: str) -> _Read | str:
        """Reads a file completely before any of its rows is loaded; returns the reason as a string if that fails."""
        if (bad := self._bad.get(name)) and bad[0] == version:
            return bad[1]
        spool = tempfile.SpooledTemporaryFile(BYTES_IN_MEMORY, dir=folder)  # noqa: SIM115, its reader closes it
        read = _Read(name, version, 0, spool, set(), set())
        try:
            self._fill(read)
        except Exception as error:
            spool.close()
            if not isinstance(error, PayloadError) and not is_of_storage(error):
                raise
            self._bad[name] = version, first_line(error)
            return first_line(error)
        return read

    def _fill(self, read: _Read) -> None:
        schema = arrow_schema(self.table)
        keys: list[pa.Table] = []
        own = [name for name in self.table.key if name != FILE.name]
        with pa.ipc.new_stream(read.spool, schema) as stream:
            for batch in self.files.format.batches(partial(self.folder.read, read.name), self.table):
                rows = self._with_file(batch, read.name)
                keys += self._keys(rows, own, batch.first)
                stream.write_table(rows)
                read.rows += len(rows)
                read.undeclared.update(batch.undeclared)
                read.missing.update(batch.missing)
        if keys and pa.concat_tables(keys).group_by(own).aggregate([]).num_rows < read.rows:
            raise PayloadError(f"the key {', '.join(own)} is not unique in the file")
        if self.folder.version(read.name) != read.version:
            raise PayloadError("it changed while it was read; the next run reads it again")
        read.spool.seek(0)

    def _with_file(self, batch: Batch, name: str) -> pa.Table:
        length = len(batch.rows)
        arrays: dict[str, pa.Array] = {
            FILE.name: pa.repeat(name, length),
            ROW.name: pa.array(range(batch.first, batch.first + length), pa.int64()),
        }
        for column in self.table.columns:
            if column.compute:
                arrays[column.name] = column.compute(*(arrays[of] for of in column.of))
            elif column.origin == "payload":
                arrays[column.name] = batch.rows[column.name].combine_chunks()
        arrays[UNDECLARED] = batch.rows[UNDECLARED]
        schema = arrow_schema(self.table)
        return pa.table([arrays[field.name] for field in schema], schema=schema)

    def _keys(self, rows: pa.Table, own: list[str], first: int) -> list[pa.Table]:
        """The keys of the rows, unless they are their numbers; raises for one that is null."""
        if own == [ROW.name]:
            return []
        for name in own:
            if rows[name].null_count:
                row = pc.index(pc.is_null(rows[name]), True).as_py() + first
                raise PayloadError(f"row {row}: the key {name} is null")
        return [rows.select(own)]

    # Loading.

    def _loaded(self, load: Load, read: _Read) -> Iterator[Mapping[str, pa.Table]]:
        """The rows of a file, in place of those that the warehouse has of it."""
        load.rows += read.rows
        if not read.rows:
            yield self._nothing(read.name)
        for rows in read.tables():
            yield {self.table.name: rows}
        yield self._noted(load, read.name, read.version, read.rows)

    def _count(self, load: Load, read: _Read) -> None:
        load.pages += 1
        load.usage.api_calls += 1
        load.usage.api_bytes += read.version.size
        for name in sorted(read.undeclared - load.new_fields):
            load.warn(f"{read.name} has an undeclared column: {name}")
        load.new_fields |= read.undeclared
        if missing := sorted(read.missing - self._missing):
            load.warn(
                f"{read.name} has no column {', '.join(missing)}: it is null in its rows, and in those of similar files"
            )
        self._missing |= read.missing

    def _nothing(self, name: str) -> dict[str, pa.Table]:
        """The row that says that nothing is left of the file (:func:`ingest_shared.loading.write_disposition`)."""
        schema = arrow_schema(self.table)
        values = [pa.array([name if field.name == FILE.name else None], field.type) for field in schema]
        return {self.table.name: pa.table(values, schema=schema)}

    def _noted(self, load: Load, name: str, version: Version | None, rows: int) -> dict[str, pa.Table]:
        """The row of ``loaded_files`` for a file; without a version, the file is gone."""
        values = {
            "resource": load.resource,
            "name": name,
            "size": version and version.size,
            "modified_at": version and version.modified,
            "etag": version and version.etag,
            "row_count": rows,
            "loaded_at": self._now,
            "deleted_at": None if version else self._now,
            "load_id": dlt.current.load_package_state()["load_id"],
        }
        schema = arrow_schema(LOADED_FILES)
        arrays = [pa.array([values.get(field.name)], field.type) for field in schema]
        return {LOADED_FILES.name: pa.table(arrays, schema=schema)}

    # The audit.

    def _audited(
        self, load: Load, listed: Mapping[str, Version], known: Mapping[str, Version | None], gone: set[str]
    ) -> list[str]:
        """The files whose rows or version in the warehouse differ from the folder's.

        Adds to ``gone`` the files that the warehouse has rows of, although neither the folder nor a sync knows them.
        """
        columns = all_columns(self.table)
        read: set[str] = set()
        wrong: set[str] = set()
        counts = dict.fromkeys(COUNTS, 0)
        with comparison(list(dict.fromkeys((FILE.name, *self.table.key))), columns) as compared:
            for file in self._whole(load, listed, listed):
                self._count(load, file)
                compared.fill("origin", file.tables())
                read.add(file.name)
            with warehouse() as held:
                compared.fill("held", held.batches(self.table, columns))
            compared.find()
            found = compared.by(FILE.name)
        for name, rows, missing, stale, surplus in found:
            if name in listed and name not in read:  # it is a gap
                continue
            is_lost = known.get(name) == listed[name] if name in listed else name not in known
            counts["compared"] += rows
            for verdict, count in {"missing": missing, "stale": stale, "surplus": surplus}.items():
                counts[verdict if is_lost else "changed"] += count
            if missing or stale or surplus:
                wrong.add(name)
        if self.files.pattern not in load.gaps:  # otherwise, the folder could not be listed
            gone |= wrong - listed.keys() - known.keys()
        at = int(self._now.timestamp())
        load.audits = [{"scope": self.files.pattern, "audited_at": at, **counts, "calls": load.pages}]
        return [name for name in listed if name in read and (name in wrong or known.get(name) != listed[name])]
