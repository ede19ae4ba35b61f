"""The database schema as numbered SQL files, applied once each and in order by `conf.migrate`.

Version history (the number of the newest file):
    1  accounts, devices, carriers, rates, routes, records, ledger, panel users, configuration revisions
    2  rates of DIDs, windows of ratecards in a tariff, exchange rates, imports of rates
    3  granted credit and credit limits, versions of funds, profit per level, taxes of carriers
    4  files of records for outside billing
    5  number rules, codec lists, loss guard, modes and windows of routes, DIDs, emergency numbers
    6  which rates and devices a change was of
    7  what carriers ask of SIP, forwarding of SIP users, the messages of calls
    8  what media engines measured of a call
    9  fields of a customer, trial accounts, how payments came, who changed what
   10  time zones, second factors and sessions of logins
   11  what records come to by day, indexes for searches
   12  encryption of media, and how digits come
   13  round trips of anchored calls, and whether both sides were heard
   14  whose tariffs and ratecards are, long jobs of the panel
"""

SCHEMA_VERSION = 14
"""Newest migration in this package; a service refuses a database that is older."""

SCHEMA_COMPAT_VERSION = 1
"""Oldest code (by its SCHEMA_VERSION) that may still run on a database migrated by this package."""
