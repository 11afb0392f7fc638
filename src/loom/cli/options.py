"""Options that several commands share, and how they become settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from loom.core.errors import OperatorError
from loom.core.settings import Settings

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="PostgreSQL to use (LOOM_DATABASE_URL); a socket folder may be the host. Default: the embedded one.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder for data and keys (LOOM_DATA_DIR). Default: .loom", show_default=False),
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on (LOOM_HOST).", show_default=False)]
Port = Annotated[
    int | None, typer.Option("--port", help="Port to listen on (LOOM_PORT); 0 takes a free one.", show_default=False)
]


def load_settings(**given: Any) -> Settings:
    """Settings of the environment, with what the command line gave on top. OperatorError names what is wrong."""
    values = {name: value for name, value in given.items() if value is not None}
    if isinstance(values.get("database_url"), str):
        values["database_url"] = SecretStr(values["database_url"])
    try:
        return Settings(**values)
    except ValidationError as exc:
        problems = "\n".join(f"  LOOM_{str(e['loc'][0]).upper()}: {e['msg']}" for e in exc.errors() if e["loc"])
        raise OperatorError(f"These settings can't be used:\n{problems}") from None
