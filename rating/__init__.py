"""What a call costs, and the ledger: pure prices, and the SQL that posts them."""
