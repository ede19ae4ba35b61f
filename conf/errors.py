"""Faults of settings, embedded servers and migrations.

    ConfigurationError
        UnknownSetting       a key that no section has
        InvalidSetting       a value of the wrong type or out of range
        UnreadableFile       the settings file cannot be read or is not TOML
        ServerUnavailable    PostgreSQL or Valkey does not answer or cannot be started
        SchemaMismatch       the database is older or newer than this code
        MigrationFailed      a migration could not be applied

    BackupFault              a backup that could not be made or restored

A service that meets a ConfigurationError prints its text as one line and exits with status 2.
"""


class ConfigurationError(Exception):
    """Something that an operator has to put right before the process can start."""


class BackupFault(Exception):
    """A backup could not be made or restored; what was there before still is."""


class UnknownSetting(ConfigurationError):
    """A key in the file or the environment that no section has."""


class InvalidSetting(ConfigurationError):
    """A value of the wrong type or out of its range."""


class UnreadableFile(ConfigurationError):
    """The settings file cannot be read or is not TOML."""


class ServerUnavailable(ConfigurationError):
    """PostgreSQL or Valkey does not answer, or the embedded one cannot be started."""


class SchemaMismatch(ConfigurationError):
    """The database was migrated by older or newer code than this."""


class MigrationFailed(ConfigurationError):
    """A migration could not be applied; the database is as it was before it."""
