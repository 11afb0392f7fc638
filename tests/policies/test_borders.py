"""Borders that the people of the matrix do not stand on: a coach who is a client, rows moved and upserted."""

from tests.policies.attempts import acting_as
from tests.policies.stage import Stage


def test_a_coach_who_is_somebodys_client_leads_nothing_in_that_coachs_group(stage: Stage) -> None:
    world, conn = stage.world, stage.conn
    with conn.transaction(force_rollback=True):
        conn.execute(
            "insert into public.coach_clients (coach_id, client_id) values (%s, %s)",
            (world.id("coach"), world.id("other_coach")),
        )
        with acting_as(conn, world.identities["coach"]):
            conn.execute(
                "select public.add_to_conversation(%s, array[%s::uuid])", (world.id("circle"), world.id("other_coach"))
            )
        with acting_as(conn, world.identities["other_coach"]):
            led = conn.execute("select private.my_led_conversation_ids()").fetchone()
            mine = conn.execute("select private.my_conversation_ids()").fetchone()
        assert mine is not None
        assert world.id("circle") in mine[0]
        assert led == ([world.id("direct-foreign")],)
