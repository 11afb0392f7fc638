"""A Loom that runs the embedded server, for tests that kill it. Argument: the data folder. Prints the server's pid."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from loom.db.embedded import EmbeddedServer

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with EmbeddedServer.start(Path(sys.argv[1])) as server:
        print(server.pid, server.socket_dir, flush=True)
        signal.pause()
