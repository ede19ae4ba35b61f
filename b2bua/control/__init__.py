"""The local control interface of a worker: JSON lines over a Unix socket that only its owner may open."""
