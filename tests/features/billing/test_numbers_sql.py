"""Document numbers in the database: none twice, none missing."""

from __future__ import annotations

import psycopg

from tests.features.billing.world import World, addon, at_once, one


def number_under_load(world: World, url: str, take: str) -> tuple[list[int], int]:
    """80 documents by 8 threads, every eighth rolled back: the numbers that were kept, and how many"
    " tries were refused."""

    def work(index: int) -> list[int]:
        kept: list[int] = []
        with psycopg.connect(url) as conn:
            for turn in range(10):
                try:
                    row = conn.execute(take, [world.practice]).fetchone()
                    assert row is not None
                    conn.execute("insert into numbered values (%s)", [row[0]])
                except psycopg.errors.UniqueViolation:
                    conn.rollback()
                    kept.append(0)
                    continue
                if (index + turn) % 8 == 0:
                    conn.rollback()
                else:
                    conn.commit()
                    kept.append(row[0])
        return kept

    world.owner.execute("create table if not exists numbered (n bigint primary key)")
    world.owner.execute("truncate numbered")
    results = at_once(8, work)
    numbers = [number for result in results for number in result]
    return sorted(number for number in numbers if number), numbers.count(0)


def test_numbers_have_no_gaps_under_eight_threads_with_rollbacks(world: World, database_url: str) -> None:
    numbers, refused = number_under_load(world, database_url, "select private.take_number(%s, 'invoice', 2031)")
    assert refused == 0
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == 70


def test_the_same_harness_sees_the_gaps_of_a_sequence(world: World, database_url: str) -> None:
    world.owner.execute("create sequence if not exists gappy")
    numbers, _ = number_under_load(world, database_url, "select nextval('gappy'), %s::uuid")
    assert numbers != list(range(1, len(numbers) + 1))


def test_the_same_harness_sees_the_collisions_of_max_plus_one(world: World, database_url: str) -> None:
    _, refused = number_under_load(world, database_url, "select coalesce(max(n), 0) + 1, %s::uuid from numbered")
    assert refused > 0


def test_documents_finalised_at_once_get_the_numbers_in_a_row(world: World) -> None:
    drafts = [world.draft(addon(100)) for _ in range(8)]
    at_once(8, lambda index: world.finalize(drafts[index]))
    numbers = sorted(world.invoice(draft)["number"] for draft in drafts)
    assert numbers == list(range(1, 9))


def test_one_draft_finalised_by_eight_at_once_gets_one_number(world: World) -> None:
    draft = world.draft(addon(100))
    results = at_once(8, lambda _: world.finalize(draft))
    assert sum(isinstance(result, str) for result in results) == 1
    assert (
        world.row("select last_number from public.invoice_series where practice_id = %s", world.practice)["last_number"]
        == 1
    )


def test_the_year_of_a_number_is_that_of_the_practices_own_zone(world: World) -> None:
    world.owner.execute("update public.practices set timezone = 'Pacific/Kiritimati' where id = %s", [world.practice])
    invoice = world.issued(100)
    wanted = one(world.owner, "select extract(year from now() at time zone 'Pacific/Kiritimati')::int as v")
    assert world.invoice(invoice)["series_year"] == wanted
