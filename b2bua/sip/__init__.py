"""SIP without input or output: messages, transactions, dialogs; time is an argument (RFC 3261)."""
