"""No two old databases are alike: cures do nothing where an object is missing, of another shape, or somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString, cast

import psycopg
import pytest

from tests.adoption.old_database import Conn, extend, legacy_database
from tests.support.cluster import Cluster

CHANGED: dict[str, LiteralString] = {
    "no files": "drop table public.session_files, public.file_shares, public.file_uploads cascade",
    "files of another shape": "alter table public.file_shares rename column shared_with to recipient",
    "hardly anything beside": """
        drop table public.session_requests, public.session_ratings, public.notification_delivery_logs,
          public.message_analytics_events, public.coach_profiles cascade
    """,
    "views of those names": """
        drop table public.session_ratings, public.notification_delivery_logs cascade;
        create view public.session_ratings as select id as session_id, coach_id, client_id from public.sessions;
        create view public.notification_delivery_logs as select id from public.notifications
    """,
    "somebody else's": """
        alter table public.notification_delivery_logs owner to current_user;
        alter table public.session_requests owner to current_user;
        alter table public.session_ratings owner to current_user;
        alter table public.file_uploads owner to current_user;
        alter view public.coach_stats owner to current_user;
        alter function public.custom_access_token_hook owner to current_user;
        alter function public.is_time_slot_available owner to current_user
    """,
    "odd names": """
        create policy "O'Brien ""x"" %s" on public.file_uploads as restrictive for select using (true);
        create policy "100%% $1" on public.sessions for select using (true);
        create view public."Odd View" as select * from public.session_details;
        create materialized view public.mv as select * from public."Odd View"
    """,
    "nothing on the path": "select set_config('search_path', '', false)",
}


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> Iterator[str]:
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name)) as conn:
        legacy_database(conn)
    yield name
    cluster.drop(name)


@pytest.fixture
def name(cluster: Cluster, template: str) -> Iterator[str]:
    made = cluster.create(template)
    yield made
    cluster.drop(made)


@pytest.fixture
def owner(cluster: Cluster, name: str) -> Iterator[Conn]:
    with psycopg.connect(cluster.url(name), autocommit=True) as conn:
        yield conn


@pytest.fixture
def superuser(cluster: Cluster, name: str) -> Iterator[Conn]:
    with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
        yield conn


def one(conn: Conn, query: LiteralString) -> Any:
    row = conn.execute(query).fetchone()
    return None if row is None else row[0]


@pytest.mark.parametrize("changed", CHANGED)
def test_the_extension_applies_whatever_is_there(owner: Conn, superuser: Conn, changed: str) -> None:
    (superuser if changed == "somebody else's" else owner).execute(CHANGED[changed])
    extend(owner)
    extend(owner)
    assert one(owner, "select to_regclass('public.session_attendees')") is not None


def test_a_slot_function_of_another_shape_stays_closed(owner: Conn) -> None:
    owner.execute(
        "drop function public.get_available_time_slots;"
        "create function public.get_available_time_slots(coach_id uuid, date date, slot_duration integer default 60)"
        " returns table (slot text) language sql security definer as 'select title from public.sessions'"
    )
    signature = "public.get_available_time_slots(uuid, date, integer)"
    allowed = cast("LiteralString", f"select has_function_privilege('authenticated', '{signature}', 'execute')")
    assert one(owner, allowed)
    extend(owner)
    assert not one(owner, allowed)


def test_what_a_policy_elsewhere_asks_stays_callable(owner: Conn) -> None:
    owner.execute(
        'create policy "x" on public.tasks for select using (public.validate_user_access(auth.uid(), client_id))'
    )
    extend(owner)
    assert one(
        owner, "select has_function_privilege('authenticated', 'public.validate_user_access(uuid, uuid)', 'execute')"
    )


def test_a_function_nobody_knows_of_is_closed_to_who_has_not_signed_in(owner: Conn) -> None:
    owner.execute(
        "create function public.everybody() returns setof public.users language sql security definer"
        " as 'select * from public.users';"
        "create procedure public.forget() language sql security definer as 'delete from public.messages';"
        "create function public.of_another_domain() returns bigint language sql security definer"
        " as 'select count(*) from public.tasks'"
    )
    query: LiteralString = (
        "select array_agg(proname::text order by proname) from pg_proc where proname = any"
        " (array['everybody', 'forget', 'of_another_domain']) and has_function_privilege('anon', oid, 'execute')"
    )
    assert one(owner, query) == ["everybody", "forget", "of_another_domain"]
    extend(owner)
    assert one(owner, query) == ["of_another_domain"]
    assert one(owner, "select has_function_privilege('authenticated', 'public.everybody()', 'execute')")
