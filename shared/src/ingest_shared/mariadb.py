"""dlt's SQLAlchemy destination on MariaDB: types that hold every value, keys compared byte by byte, and indexed.

https://dlthub.com/docs/dlt-ecosystem/destinations/sqlalchemy
"""

from datetime import UTC, datetime
from typing import Any

import dlt
import sqlalchemy as sa
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.capabilities import DataTypeMapper
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema
from dlt.destinations.impl.sqlalchemy.configuration import SqlalchemyClientConfiguration, SqlalchemyCredentials
from dlt.destinations.impl.sqlalchemy.db_api_client import SqlalchemyClient
from dlt.destinations.impl.sqlalchemy.dialect import MysqlDialectCapabilities, register_dialect_capabilities
from dlt.destinations.impl.sqlalchemy.sqlalchemy_job_client import SqlalchemyJobClient
from dlt.destinations.impl.sqlalchemy.type_mapper import MysqlVariantTypeMapper
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions, convert_datetime
from sqlalchemy.dialects.mysql import LONGTEXT

from ingest_shared.destinations import ResolvedOnce

INDEXED = 190
"""Characters of a text column that are indexed."""


class _Types(MysqlVariantTypeMapper):
    """Text without the limit of 64 kB, and JSON as the text that it already is: dlt would encode it a second time."""

    def db_type_from_text_type(self, column: TColumnSchema, table: PreparedTableSchema) -> Any:
        return LONGTEXT()

    def db_type_from_json_type(self, column: TColumnSchema, table: PreparedTableSchema) -> Any:
        return LONGTEXT()


class _Dialect(MysqlDialectCapabilities):
    def type_mapper_class(self) -> type[DataTypeMapper]:
        return _Types

    def adapt_table(self, table: sa.Table, table_schema: PreparedTableSchema) -> sa.Table:
        """Indexes the columns by which a merge finds rows: without them, each staged row is compared with all rows."""
        columns = table_schema["columns"]
        keys = [name for name, hints in columns.items() if hints.get("primary_key") or hints.get("cluster")]
        if keys and not table.indexes:
            texts = {name: INDEXED for name in keys if columns[name].get("data_type") == "text"}
            sa.Index(f"{table.name}_key", *(table.c[name] for name in keys), mysql_length=texts, mariadb_length=texts)
        return table


class _SqlClient(SqlalchemyClient):
    """Creates a dataset in which 'a', 'A' and 'a ' are three different keys."""

    def create_dataset(self) -> None:
        name = self.dialect.identifier_preparer.quote_identifier(self.dataset_name)
        self.execute_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")


class _Client(SqlalchemyJobClient):
    def __init__(
        self, schema: Schema, config: SqlalchemyClientConfiguration, capabilities: DestinationCapabilitiesContext
    ) -> None:
        super().__init__(schema, config, capabilities)
        made = self.sql_client
        self.sql_client = _SqlClient(made.dataset_name, made.staging_dataset_name, config.credentials, capabilities)


def _in_utc(text: str) -> Any:
    """Instants as the other destinations return them: dlt stores them in UTC, and the database keeps no time zone."""
    value = convert_datetime(text)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


_READ = {FIELD_TYPE.DATETIME: _in_utc, FIELD_TYPE.TINY: lambda text: text == "1"}
"""How the driver reads values: the only tiny integers are booleans."""
ENGINE = {"connect_args": {"charset": "utf8mb4", "conv": conversions | _READ}}
"""For :func:`sqlalchemy.create_engine`."""
register_dialect_capabilities("mariadb", _Dialect)


class mariadb(ResolvedOnce, dlt.destinations.sqlalchemy):  # noqa: N801, dlt takes the destination's name from it
    """``destination.mariadb.credentials`` is an address such as ``mariadb+pymysql://login:password@host/database``."""

    @property
    def client_class(self) -> type[SqlalchemyJobClient]:
        return _Client

    def capabilities(
        self, config: Any = None, naming: NamingConvention | None = None
    ) -> DestinationCapabilitiesContext:
        """The dialect's capabilities, even without credentials, so that definitions load without them."""
        dialect = SqlalchemyClientConfiguration(credentials=SqlalchemyCredentials("mariadb+pymysql://localhost"))
        return super().capabilities(config or dialect, naming)
