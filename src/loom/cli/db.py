"""loom db: migrations and what belongs to them."""

from __future__ import annotations

import typer

from loom.db.schema_files import write_draft

app = typer.Typer(no_args_is_help=True, help="Migrate, inspect, back up and restore the database.")


@app.command()
def draft() -> None:
    """Write the generated migration anew from supabase/drafts and supabase/schemas (for developers)."""
    typer.echo(f"wrote {write_draft()}")
