"""CSV, JSON Lines and Parquet files, read in batches as the columns that a table declares.

All values are checked against the declaration. What does not fit raises
:class:`~ingest_shared.errors.PayloadError`, which names the line (CSV, JSON Lines) or the row (Parquet). A
column that is not declared is kept as JSON in ``_undeclared``; a declared one that a file lacks is null.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ingest_shared.columnar import Decoder, json_without_nul, text_without_nul
from ingest_shared.errors import PayloadError
from ingest_shared.tables import (
    DECIMAL,
    EPOCHS,
    JSON,
    PRESENT,
    RFC2822,
    TEXT,
    UNDECLARED,
    Column,
    Table,
    decimals,
    storable,
)

Open = Callable[[], IO[bytes]]
"""Opens a file at its beginning."""
BYTES_AT_ONCE = 4_000_000
ROWS_AT_ONCE = 50_000
LINES_AT_ONCE = 1_000
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
HEADER_BYTES = 1 << 20
"""Largest header of a CSV."""
_ROW = re.compile(r"Row #(\d+): ")
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, msgspec.DecodeError)
_AS_PARQUET_HAS_THEM: Mapping[str, Sequence[Callable[[pa.DataType], bool]]] = {
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "bigint": (pa.types.is_integer,),
    "double": (pa.types.is_floating, pa.types.is_integer),
    "bool": (pa.types.is_boolean,),
    "timestamp": (pa.types.is_timestamp,),
    "date": (pa.types.is_date,),
    "decimal": (pa.types.is_decimal, pa.types.is_integer),
}
"""The types of a Parquet column that a column of a dlt type accepts; no value may lose anything."""


@dataclass(frozen=True)
class Batch:
    """Some rows of a file: the table's payload columns and ``_undeclared``."""

    rows: pa.Table
    first: int
    """The number of its first row in the file, from 1."""
    undeclared: Collection[str] = ()
    """Columns of the file that the table does not declare."""
    missing: Collection[str] = ()
    """Columns of the table that the file does not have."""


@dataclass(frozen=True, kw_only=True)
class Csv:
    """Text with a header, in which columns are found by their names, in any order.

    A field that is empty is null, and empty text only if it is quoted. An instant without a zone is UTC.
    """

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"

    def batches(self, open_file: Open, table: Table) -> Iterator[Batch]:
        with open_file() as file:
            quote = self.quote.encode(self.encoding)
            counted = _Counted(file, quote)
            text = io.BufferedReader(counted, HEADER_BYTES)
            names = self._header(text.peek(HEADER_BYTES))
            row = 1
            for batch in self._read(text, names, open_file):
                columns = dict(zip(names, batch.columns, strict=True))
                yield _fitted(table, columns, _from_texts, row, self._at(open_file))
                row += len(batch)
            if counted.quotes % 2 or len(quote) > 1:  # a UTF-16 character may be split, and is then not counted
                self._raise_if_open(open_file)

    def _header(self, begin: bytes) -> list[str]:
        text = begin.decode(self.encoding, "replace").removeprefix("\ufeff")
        lines = self._csv(io.StringIO(text))
        names: list[str] = next((names for names in lines if names), [])
        if not names:
            raise PayloadError("the file is empty: it has no header")
        if any("\ufffd" in name for name in names):
            raise PayloadError(f"line 1: the header is not {self.encoding}")
        if len(begin) == HEADER_BYTES and next(lines, None) is None:
            raise PayloadError(f"line 1: the header is longer than {HEADER_BYTES:,} bytes")
        _refuse_double(names)
        return names

    def _read(self, text: "io.BufferedReader[Any]", names: list[str], open_file: Open) -> Iterator[pa.RecordBatch]:
        try:
            yield from pa.csv.open_csv(
                text,
                # One thread, since others read other files; only then do its errors name the row.
                pa.csv.ReadOptions(use_threads=False, block_size=BYTES_AT_ONCE, encoding=self.encoding),
                pa.csv.ParseOptions(delimiter=self.delimiter, quote_char=self.quote, newlines_in_values=True),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            said = str(error).removeprefix("CSV parse error: ").partition("\n")[0]
            if "straddles two block boundaries" in said:
                self._raise_if_open(open_file)
                said = f"a row is longer than {BYTES_AT_ONCE:,} bytes"
            found = _ROW.search(said)
            line = f"line {self._line(open_file, int(found[1]))}: " if found else ""
            raise PayloadError(line + _ROW.sub("", said)[:200]) from None

    def _at(self, open_file: Open) -> Callable[[int], str]:
        return lambda row: f"line {self._line(open_file, row + 1)}"

    def _line(self, open_file: Open, record: int) -> int:
        """The line on which a record ends; the header is the first record."""
        with open_file() as file:
            reader = self._csv(io.TextIOWrapper(file, self.encoding, "replace", newline=""))
            next(islice((1 for fields in reader if fields), record - 1, None), None)
            return int(reader.line_num)

    def _raise_if_open(self, open_file: Open) -> None:
        """Raises for a quotation mark that is never closed: everything after it would be one value."""
        with open_file() as file:
            reader = self._csv(io.TextIOWrapper(file, self.encoding, "replace", newline=""), strict=True)
            before = 0
            try:
                for _ in reader:
                    before = reader.line_num
            except csv.Error:
                raise PayloadError(f"line {before + 1}: a quotation mark is not closed") from None

    def _csv(self, lines: Any, *, strict: bool = False) -> Any:
        csv.field_size_limit(2**31 - 1)
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=strict)


@dataclass(frozen=True)
class JsonLines:
    """An object of JSON on each line, read like an API's: paths lead into nested objects."""

    def batches(self, open_file: Open, table: Table) -> Iterator[Batch]:
        decoder = Decoder(table)
        row = line = 1
        with open_file() as file:
            lines = iter(file)
            while some := list(islice(lines, LINES_AT_ONCE)):
                if line == 1:
                    some[0] = some[0].removeprefix(b"\xef\xbb\xbf")
                rows, undeclared = self._rows(decoder, some, line)
                yield Batch(rows, row, undeclared)
                row += len(rows)
                line += len(some)

    def _rows(self, decoder: Decoder, lines: Sequence[bytes], first: int) -> tuple[pa.Table, frozenset[str]]:
        """The rows of some lines, and their undeclared fields; raises for the first invalid line."""
        objects = [line for line in lines if line.strip()]
        try:
            page = decoder.page(b"[" + b",".join(objects) + b"]")
            if len(page.rows) == len(objects):  # otherwise an object continues on the next line, or a line has several
                return decoder.arrow([page])[decoder.table.name], page.new_fields
            said = "expected an object"
        except PayloadError as error:
            said = _of_line(error)
        if len(lines) == 1:
            raise PayloadError(f"line {first}: {said}")
        parts = [self._rows(decoder, [line], first + index) for index, line in enumerate(lines)]
        return pa.concat_tables([rows for rows, _ in parts]), frozenset[str]().union(*(names for _, names in parts))


@dataclass(frozen=True)
class Parquet:
    """Columns are found by their names, in any order. An instant without a zone is UTC."""

    def batches(self, open_file: Open, table: Table) -> Iterator[Batch]:
        with open_file() as file:
            row = 1
            try:
                parquet = pa.parquet.ParquetFile(file)
                _refuse_double(parquet.schema_arrow.names)
                no_rows = pa.RecordBatch.from_pylist([], parquet.schema_arrow)  # even a file without rows has columns
                for batch in chain([no_rows], parquet.iter_batches(ROWS_AT_ONCE)):
                    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                    yield _fitted(table, columns, _from_arrow, row, lambda row: f"row {row}")
                    row += len(batch)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise PayloadError(f"cannot be read as Parquet ({_one_line(error)})") from None


Format = Csv | JsonLines | Parquet


def decompressed(file: IO[bytes], name: str) -> IO[bytes]:
    """The decompressed file; its name says how it was compressed."""
    kind = next((kind for suffix, kind in COMPRESSIONS.items() if name.endswith(suffix)), None)
    return io.BufferedReader(pa.input_stream(file, compression=kind)) if kind else file


def _refuse_double(names: Sequence[str]) -> None:
    """Raises :class:`PayloadError` if two columns have the same name: one of them would be lost."""
    if double := next((name for name in names if names.count(name) > 1), None):
        raise PayloadError(f"two columns are called {double!r}")


class _Counted(io.RawIOBase):
    """A file that counts the quotation marks that are read from it."""

    def __init__(self, file: IO[bytes], quote: bytes) -> None:
        self._file, self._quote = file, quote
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._file.read(len(buffer))
        self.quotes += found.count(self._quote)
        buffer[: len(found)] = found
        return len(found)


Convert = Callable[[Column, pa.Array], pa.Array]


def _fitted(
    table: Table, sent: Mapping[str, pa.Array], convert: Convert, first: int, at: Callable[[int], str]
) -> Batch:
    """A batch of a file as the table's columns; ``at`` names the position of a row in the file."""
    length = len(next(iter(sent.values()), ()))
    declared = [c for c in table.columns if c.origin == "payload"]
    if sent and not any(c.path in sent for c in declared):
        raise PayloadError(f"none of the columns is declared: {', '.join(sent)[:200]}")
    arrays = {}
    for column in declared:
        array = sent.get(column.path)
        if array is None:
            arrays[column.name] = pa.nulls(length, column.type.arrow)
            continue
        try:
            arrays[column.name] = convert(column, array)
        except _UNFIT as error:
            raise _at_first_unfit(column, array, convert, first, at, error) from None
    others = {name: array for name, array in sent.items() if name not in {c.path for c in declared} | {*table.unused}}
    arrays[UNDECLARED] = _as_json(others) if others else pa.nulls(length, pa.string())
    return Batch(pa.table(arrays), first, others, [c.name for c in declared if c.path not in sent])


def _at_first_unfit(
    column: Column, array: pa.Array, convert: Convert, first: int, at: Callable[[int], str], error: Exception
) -> PayloadError:
    """The error of the first value that does not fit, or of the whole column if each value fits by itself."""
    for index in range(len(array)):
        try:
            convert(column, array[index : index + 1])
        except _UNFIT as of_value:
            if array[index].is_valid:
                value = str(_values(array[index : index + 1])[0])[:80]
                return PayloadError(
                    f"{at(first + index)}, column {column.name}: expected {column.type.name}; "
                    f"the value is {value!r} ({_one_line(of_value)[:120]})"
                )
    return PayloadError(f"column {column.name}: {_one_line(error)}")


def _from_texts(column: Column, texts: pa.Array) -> pa.Array:
    """The values that the texts represent."""
    type_ = column.type
    if type_ is PRESENT:
        return pc.is_valid(texts)
    if type_ is TEXT:
        return text_without_nul(texts)
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), pc.utf8_trim_whitespace(texts))
    if type_ is JSON:
        for text in texts.drop_null().to_pylist():
            msgspec.json.decode(text)
        return json_without_nul(texts)
    if type_.name in EPOCHS:
        return type_.convert(pc.cast(texts, pa.int64()).to_pylist(), type_.arrow)
    if type_ is RFC2822:
        return type_.convert(texts.to_pylist(), type_.arrow)
    if type_ is DECIMAL:
        return decimals(texts, type_.arrow)
    return _instants(texts, type_.arrow) if pa.types.is_timestamp(type_.arrow) else pc.cast(texts, type_.arrow)


def _instants(texts: pa.Array, arrow: pa.DataType) -> pa.Array:
    try:
        return storable(pc.cast(texts, arrow))
    except pa.ArrowInvalid as error:
        try:
            return storable(pc.cast(pc.cast(texts, pa.timestamp(arrow.unit)), arrow))
        except pa.ArrowInvalid:
            raise error from None


def _from_arrow(column: Column, array: pa.Array) -> pa.Array:
    """The values of a Parquet column, if they have the declared type and none loses anything."""
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    type_ = column.type
    if type_ is PRESENT:
        return pc.is_valid(array)
    if type_ is JSON and not pa.types.is_string(array.type):
        return _encoded(_values(array))
    if pa.types.is_null(array.type):
        return pc.cast(array, type_.arrow)
    if type_ in (TEXT, JSON) and pa.types.is_string(array.type):
        return _from_texts(column, array)
    if (type_.payload is int or type_.name in EPOCHS) and pa.types.is_integer(array.type):
        return (
            type_.convert(array.to_pylist(), type_.arrow) if type_.arrow != pa.int64() else pc.cast(array, pa.int64())
        )
    if not any(fits(array.type) for fits in _AS_PARQUET_HAS_THEM[type_.dlt]):
        raise PayloadError(f"column {column.name}: it is {array.type} in the file, but declared as {type_.name}")
    cast = pc.cast(array, type_.arrow)
    return storable(cast) if pa.types.is_timestamp(type_.arrow) else cast


def _as_json(columns: Mapping[str, pa.Array]) -> pa.Array:
    """The values without a column, as an object for each row; null if there are none."""
    rows = zip(*map(_values, columns.values()), strict=True)
    return _encoded({n: v for n, v in zip(columns, row, strict=True) if v is not None} or None for row in rows)


def _encoded(values: Iterable[Any]) -> pa.Array:
    """The values as JSON; None stays null."""
    texts = (None if value is None else msgspec.json.encode(value).decode() for value in values)
    return json_without_nul(pa.array(texts, pa.string()))


def _values(array: pa.Array) -> list[Any]:
    try:
        values: list[Any] = array.to_pylist()
    except ValueError:  # Python has no nanoseconds
        values = pc.cast(array, pa.string()).to_pylist()
    return values


def _of_line(error: PayloadError) -> str:
    """An error's message, without the words that only fit an API's response."""
    return _one_line(error).replace("the response body is", "this is")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
