"""Settings, the embedded servers, and the database schema with its migrations."""
