"""Draws docs/reference/schema.svg from the catalogue: `.venv/bin/python scripts/schema_picture.py`.

It migrates a throwaway server and reads it. A table stands in the area whose folder of supabase/schemas creates it.
Lines are foreign keys; those to users, which nearly every table has, are a dot instead.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import psycopg

from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference" / "schema.svg"

WIDTH = 236
GAP_X = 64
GAP_Y = 18
TOP = 92
LINE = 14
DULL = {"id", "created_at", "updated_at", "metadata"}

# Folder of supabase/schemas → title, colour, and how many columns its tables fill; 0 is below the area before.
AREAS = {
    "10_identity": ("People and practice", "#5b6ee1", 1),
    "20_practice": ("People and practice", "#5b6ee1", 1),
    "30_scheduling": ("Sessions", "#1f9d78", 1),
    "60_notifications": ("Notifications", "#7a7f8c", 0),
    "40_billing": ("Money", "#c9771a", 2),
    "45_documents": ("Money", "#c9771a", 2),
    "50_messaging": ("Messages", "#b5477f", 2),
}


@dataclass
class Table:
    """A box: its words, where it stands, and what it points at."""

    name: str
    area: str
    colour: str
    columns: list[str]
    points_at: list[str] = field(default_factory=list)
    has_user: bool = False
    x: int = 0
    y: int = 0

    @property
    def lines(self) -> list[str]:
        """Its own columns, wrapped; the bookkeeping ones and foreign keys left out."""
        lines, line = [], ""
        for column in self.columns:
            longer = f"{line}, {column}" if line else column
            if len(longer) > 37:
                lines.append(line + ",")
                line = column
            else:
                line = longer
        lines.append(line)
        return lines[:4] if len(lines) <= 4 else [*lines[:3], lines[3].rstrip(",") + " …"]

    @property
    def height(self) -> int:
        return 32 + LINE * len([line for line in self.lines if line])


def read_tables(url: str) -> tuple[dict[str, Table], list[str]]:
    """Public tables by name, and the names of the private ones."""
    made_in = {
        name: path.parent.name
        for path in sorted((ROOT / "supabase" / "schemas").rglob("*.sql"))
        for name in re.findall(r"create table if not exists public\.(\w+)", path.read_text("utf-8"))
    }
    with psycopg.connect(url) as conn:
        keys = conn.execute(
            """
            select c.relname, f.relname, a.attname
            from pg_constraint as k
            join pg_class as c on c.oid = k.conrelid and c.relnamespace = 'public'::regnamespace
            join pg_class as f on f.oid = k.confrelid
            join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (k.conkey)
            where k.contype = 'f'
            order by 1, k.conname
            """
        ).fetchall()
        columns = conn.execute(
            """
            select c.relname, a.attname
            from pg_class as c
            join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
            order by c.relname, a.attnum
            """
        ).fetchall()
        private = conn.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'private'::regnamespace order by 1"
        ).fetchall()
    foreign = {(table, column) for table, _, column in keys}
    tables: dict[str, Table] = {}
    for table, column in columns:
        title, colour, _ = AREAS[made_in[table]]
        box = tables.setdefault(table, Table(table, title, colour, []))
        if column not in DULL and (table, column) not in foreign:
            box.columns.append(column)
    for table, target, _ in keys:
        if target == "users" != table:
            tables[table].has_user = True
        elif target != table and target not in tables[table].points_at:
            tables[table].points_at.append(target)
    return tables, [name for (name,) in private]


def place(tables: dict[str, Table]) -> tuple[int, int]:
    """Gives every box its place, most pointed-at first in its area; returns the size of the picture."""
    x, y, bottom = 40 - WIDTH - GAP_X, TOP, 0
    popularity = {name: sum(name in t.points_at for t in tables.values()) for name in tables}
    popularity["users"] = len(tables)
    for title, count in {title: count for title, _, count in AREAS.values()}.items():
        boxes = sorted((t for t in tables.values() if t.area == title), key=lambda t: (-popularity[t.name], t.name))
        x, y = (x + WIDTH + GAP_X, TOP) if count else (x, y + 42)
        room = -(-sum(t.height + GAP_Y for t in boxes) // max(count, 1))
        start = y
        for box in boxes:
            if y > start and y - start + box.height / 2 > room:
                x, y = x + WIDTH + GAP_X, TOP
            box.x, box.y = x, y
            y += box.height + GAP_Y
            bottom = max(bottom, y)
    return x + WIDTH + 40, bottom


def link(start: Table, end: Table) -> str:
    """A curve from the box that points to the one that is pointed at."""
    y1, y2 = start.y + 16, end.y + 16
    if start.x == end.x:
        x = start.x + WIDTH
        path = f"M{x},{y1} C{x + 46},{y1} {x + 46},{y2} {x + 5},{y2}"
    elif start.x > end.x:
        x1, x2 = start.x, end.x + WIDTH + 5
        path = f"M{x1},{y1} C{x1 - 60},{y1} {x2 + 60},{y2} {x2},{y2}"
    else:
        x1, x2 = start.x + WIDTH, end.x - 5
        path = f"M{x1},{y1} C{x1 + 60},{y1} {x2 - 60},{y2} {x2},{y2}"
    return f'<path d="{path}" stroke="{end.colour}" marker-end="url(#to-{end.colour[1:]})"/>'


def draw(tables: dict[str, Table], private: list[str]) -> str:
    """The picture as text."""
    width, bottom = place(tables)
    height = bottom + 64
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="ui-sans-serif, Helvetica, Arial, sans-serif" role="img" aria-label="The schema of Loom">'
        ),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<text x="40" y="34" font-size="20" font-weight="600" fill="#1c2433">The schema of Loom</text>',
        (
            f'<text x="40" y="54" font-size="12" fill="#5d6778">{len(tables)} tables with row-level security. Lines '
            "are foreign keys; a dot after the name is one to users. Keys, times and metadata are left out.</text>"
        ),
        "<defs>",
    ]
    colours = dict.fromkeys(colour for _, colour, _ in AREAS.values())
    out += [
        f'<marker id="to-{colour[1:]}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
        for colour in colours
    ]
    out.append('</defs><g fill="none" stroke-width="1.4" stroke-opacity="0.55">')
    ordered = sorted(tables.values(), key=lambda t: (t.x, t.y))
    out += [link(box, tables[target]) for box in ordered for target in box.points_at if target in tables]
    out.append("</g>")
    seen: set[str] = set()
    for box in ordered:
        if box.area not in seen:
            seen.add(box.area)
            out.append(
                f'<text x="{box.x}" y="{box.y - 12}" font-size="14" font-weight="600" fill="{box.colour}">'
                f"{escape(box.area)}</text>"
            )
        out.append(
            f'<rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{box.height}" rx="6" fill="#ffffff" '
            f'stroke="{box.colour}" stroke-opacity="0.6"/>'
            f'<rect x="{box.x}" y="{box.y}" width="4" height="{box.height}" rx="2" fill="{box.colour}"/>'
            f'<text x="{box.x + 14}" y="{box.y + 20}" font-size="13" font-weight="600" fill="#1c2433">{box.name}'
            + (f'<tspan fill="{tables["users"].colour}"> ●</tspan>' if box.has_user else "")
            + "</text>"
        )
        out += [
            f'<text x="{box.x + 14}" y="{box.y + 36 + LINE * at}" font-size="10.5" fill="#5d6778">{escape(line)}</text>'
            for at, line in enumerate(box.lines)
            if line
        ]
    out.append(
        f'<text x="40" y="{height - 30}" font-size="12" fill="#5d6778">Schema private, for the service alone: '
        f"{escape(', '.join(private))}. Schema jobs: the queue.</text></svg>"
    )
    return "\n".join(out) + "\n"


def main() -> None:
    """Migrates a throwaway server, reads it, writes the picture."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder)) as server:
        url = server.url("postgres", "postgres")
        migrate(url)
        TARGET.write_text(draw(*read_tables(url)), "utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
