"""Prints the cells as the database has them today: `python -m tests.policies.draft rows|columns|functions [name]`.

A draft is not an expectation. Whoever pastes it into the files answers for each cell.
"""

import csv
import sys
import tempfile
from pathlib import Path

import psycopg

from tests.policies.calls import call_cell, call_outcome, functions, load_calls
from tests.policies.cells import VERBS, Observer, relations
from tests.policies.columns import PRIVILEGES, column_cells
from tests.policies.world import build
from tests.support.cluster import Cluster, open_cluster


def draft(cluster: Cluster, what: str, wanted: str) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    name = cluster.template()
    with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
        tables = relations(conn)
        world = build(conn, tables)
        chosen = [table for table in tables if wanted in table.full]
        if what == "rows":
            observer = Observer(conn, world)
            for table in chosen:
                with conn.transaction(force_rollback=True):
                    for identity, cell in observer.observe(table.full).items():
                        out.writerow([table.full, identity, *(cell[verb] for verb in VERBS)])
        elif what == "columns":
            for table in chosen:
                for role, cell in column_cells(conn, table.full).items():
                    out.writerow([table.full, role, *(cell[privilege] for privilege in (*PRIVILEGES, "delete"))])
        else:
            known = {function.name: function for function in functions(conn)}
            for name in sorted(set(known) - {call.function for call in load_calls()}):
                if known[name].roles:
                    sys.stderr.write(f"no call: {known[name].signature} {known[name].roles}\n")
            for call in load_calls():
                if wanted in call.function:
                    function = known[call.function]
                    with conn.transaction(force_rollback=True):
                        cells = [
                            call_cell(call_outcome(conn, world, identity, call, function), function)
                            for identity in world.identities.values()
                        ]
                    out.writerow([call.function, call.text, *cells])


def main() -> None:
    what, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, open_cluster(Path(folder)) as cluster:
        draft(cluster, what, names[0] if names else "")


if __name__ == "__main__":
    main()
