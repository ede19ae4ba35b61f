"""The servers that come with the package, PostgreSQL and Valkey, run as children in the foreground.

They are the real servers, so one machine and a cluster run the same code; a URL in the settings puts another server in
the place of either. Only Unix sockets in a directory of mode 0700 are opened, nothing is ever trusted without a name,
and no owner or mode of a directory is changed that was not made here.
"""

from conf.embedded.location import database_url, live_url, run_directory

__all__ = ["database_url", "live_url", "run_directory"]
