"""HEPv3: copies of SIP messages for a capture server (Homer and others)."""
