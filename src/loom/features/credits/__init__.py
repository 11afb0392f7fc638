"""Sessions paid in advance: packages, what clients have of them, and the ledger of both."""
