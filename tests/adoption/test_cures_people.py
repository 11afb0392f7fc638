"""Faults around accounts and around what people wrote: broken in the old database, sound in the adopted one."""

from __future__ import annotations

import pytest

from tests.adoption.scene import IDS, Scene

SIGN_UP = """
    insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), 'new@example.test', %(data)s);
    select role::text from public.users where email = 'new@example.test'
"""


def test_signing_up_chose_the_role(scene: Scene) -> None:
    assert scene.both("owner", SIGN_UP, data='{"role": "admin"}') == ([("admin",)], [("client",)])


def test_an_unknown_role_kept_people_from_signing_up(scene: Scene) -> None:
    assert scene.both("owner", SIGN_UP, data='{"role": "emperor"}') == ("22P02", [("client",)])


@pytest.mark.parametrize("who", ["owner", "service"])
def test_changing_a_role_always_failed(scene: Scene, who: str) -> None:
    query = "update public.users set role = 'coach' where id = %(stranger)s"
    assert scene.both(who, query) == ("42883", 1)


def test_an_admin_changes_a_role_with_a_function_and_nobody_else_does(scene: Scene) -> None:
    change = "select public.set_user_role(%(stranger)s, 'coach', 'works here now')"
    found = "select role::text from public.users where id = %(stranger)s"
    assert scene.after("admin", f"{change};\n{found}") == [("coach",)]
    assert scene.after("coach", change) == "PT404"
    assert scene.after("stranger", "update public.users set role = 'admin' where id = %(stranger)s") == "42501"


def test_anybody_signed_in_wrote_the_role_into_anybodys_account(scene: Scene) -> None:
    query = "select public.update_user_auth_metadata(%(stranger)s, 'admin')"
    before, after = scene.both("stranger", query)
    assert before == [("",)]
    assert after == "42501"
    assert scene.after("anon", query) == "42501"


def test_the_token_hook_named_a_role_that_the_database_does_not_have(scene: Scene) -> None:
    event = (
        "select r -> 'claims' ->> 'role', r -> 'claims' ->> 'user_role' from public.custom_access_token_hook("
        "jsonb_build_object('user_id', %(coach)s::uuid, 'claims', jsonb_build_object('role', 'authenticated'))) as r"
    )
    assert scene.both("owner", event) == ([("coach", None)], [("authenticated", "coach")])
    nobody = event.replace("%(coach)s", "gen_random_uuid()")
    assert scene.after("owner", nobody) == [("authenticated", None)]
    assert scene.after("owner", 'select public.custom_access_token_hook(\'{"user_id": "no id"}\')') == [
        ({"user_id": "no id"},)
    ]
    assert scene.after("coach", event) == "42501"


def test_a_second_factors_secret_was_read_by_every_coach_of_the_person(scene: Scene) -> None:
    for column in ("mfa_secret", "mfa_backup_codes"):
        query = f"select {column} is not null from public.users where id = %(client)s"
        for who in ("coach", "other_coach", "client"):
            assert scene.both(who, query) == ([(True,)], "42501"), who
    assert scene.after("owner", "select mfa_secret from public.users where id = %(client)s") == [("secret",)]


def test_every_coach_a_client_ever_had_read_all_their_reflections(scene: Scene) -> None:
    query = "select id from public.reflections where client_id = %(client)s order by session_id = %(held)s desc"
    mine, elsewhere = (IDS["reflection"],), (IDS["reflection_elsewhere"],)
    assert scene.before("coach", query) == [mine, elsewhere]
    assert scene.after("coach", query) == [mine]
    assert scene.after("other_coach", query) == [elsewhere]
    assert scene.after("client", query) == [mine, elsewhere]


def test_notes_are_read_by_their_coach_and_shared_ones_by_the_client(scene: Scene) -> None:
    query = "select id from public.coach_notes where client_id = %(client)s order by privacy_level"
    private, shared = (IDS["note"],), (IDS["shared_note"],)
    assert scene.after("coach", query) == [private, shared]
    assert scene.after("client", query) == [shared]
    assert scene.after("other_coach", query) == []
    # Who ceased to be a client is written about no more: an old session was enough for that, for ever.
    write = (
        "insert into public.coach_notes (coach_id, client_id, title, content)"
        " values (%(other_coach)s, %(client)s, 'Note', 'Much later')"
    )
    ended = (
        "update public.coach_clients set status = 'ended' where coach_id = %(other_coach)s and client_id = %(client)s"
    )
    assert scene.before("other_coach", write) == 1
    assert scene.after("other_coach", f"{ended};\n{write}") == "42501"


def test_an_admin_was_none_to_the_policies_that_asked_the_token(scene: Scene) -> None:
    assert scene.both("admin", "select count(*) from public.users") == ([(1,)], [(7,)])


def test_a_coach_could_not_write_hours(scene: Scene) -> None:
    query = "update public.coach_availability set end_time = '13:00' where coach_id = %(coach)s and day_of_week = 1"
    assert scene.both("coach", query) == (0, 1)
    assert scene.both("anon", "select count(*) from public.coach_availability") == ([(7,)], "42501")
