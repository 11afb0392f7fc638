"""Taking over a database that an older application made, with its data."""
