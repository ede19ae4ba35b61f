"""The registrar: where SIP users can be reached now."""
