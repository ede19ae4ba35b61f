"""What the database knows of the switch's processes: record writers, its own size, the configuration's revision."""

from dataclasses import dataclass
from datetime import datetime

from admin.stores.reading import Pool, reading


@dataclass(frozen=True, slots=True)
class Writer:
    """A record writer."""

    name: str
    beat_at: datetime
    """When it last said that it works."""
    backlog_bytes: int
    """Journal that waits for it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known."""

    revision: int
    changed_at: datetime | None
    version: str
    """Of PostgreSQL."""
    size_bytes: int
    writers: list[Writer]


async def read_known(pool: Pool) -> Known:
    """Read it."""
    async with reading(pool) as connection:
        row = await connection.fetchrow(
            """
            SELECT revision, current_setting('server_version') AS version, pg_database_size(current_database()) AS size,
                   (SELECT max(changed_at) FROM config_change WHERE config_change.revision = config_revision.revision)
                       AS changed_at
            FROM config_revision
            """
        )
        writers = await connection.fetch("SELECT name, beat_at, backlog_bytes FROM cdr_writer ORDER BY name LIMIT 100")
    return Known(row["revision"], row["changed_at"], row["version"], row["size"], [Writer(*each) for each in writers])
