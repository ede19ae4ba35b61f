"""Sockets: UDP and TCP listeners, connections, and the endpoint that drives the SIP core with them (RFC 3261 §18)."""
