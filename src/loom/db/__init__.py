"""The only door to PostgreSQL: pool, transactions as an actor, migrations, the embedded server."""
