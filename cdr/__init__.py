"""Call detail records: the record, the journal on disk, and the process that writes them to PostgreSQL."""
