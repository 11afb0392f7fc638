"""Whatever is sent to whichever route, by a coach, a client or nobody: the answer is one that OpenAPI declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.contract.conftest import CLIENT, COACH, Served
from tests.support.acting import AsUser

DECLARED = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

# Where the ids of a parameter or a field live, so that half of the requests are about something that exists.
TABLES = {
    "account_id": "gateway_accounts",
    "attachment_id": "message_attachments",
    "attendee_id": "session_attendees",
    "client_id": "users",
    "coach_client_id": "coach_clients",
    "coach_id": "users",
    "event_id": "webhook_events",
    "conversation_id": "conversations",
    "credit_id": "credits",
    "intent_id": "payment_intents",
    "invoice_id": "invoices",
    "line_id": "invoice_line_items",
    "message_id": "messages",
    "method_id": "payment_methods",
    "note_id": "coach_notes",
    "notification_id": "notifications",
    "block_id": "coach_blocks",
    "feed_id": "calendar_feeds",
    "holiday_id": "coach_holidays",
    "outcome_id": "seat_outcomes",
    "series_id": "session_series",
    "setup_id": "payment_method_setups",
    "request_id": "booking_requests",
    "package_id": "packages",
    "payment_id": "payments",
    "refund_id": "payment_refunds",
    "reflection_id": "reflections",
    "session_id": "sessions",
    "subscription_id": "push_subscriptions",
    "suppression_id": "suppressed_addresses",
    "template_id": "session_templates",
    "upload_id": "message_uploads",
    "user_id": "users",
}

# What the sample practice has none of, what only an admin sees, and what asks for a secret or for a time that nobody
# makes up by chance.
NOT_IN_SAMPLE = {
    "GET /v1/attachments/{attachment_id}/content",
    "GET /v1/attachments/{attachment_id}/link",
    "GET /v1/booking-requests/{request_id}",
    "GET /v1/coaches/{coach_id}/slots",
    "GET /v1/coaches/{coach_id}/slots/reason",
    "GET /v1/documents/{token}",
    "GET /v1/documents/{token}/pdf",
    "GET /v1/feeds/{token}/calendar.ics",
    "GET /v1/links/{token}",
    "GET /v1/links/{token}/slots",
    "GET /v1/payment-intents/{intent_id}",
    "GET /v1/payment-methods/setups/{setup_id}",
    "GET /v1/payment-methods/{method_id}",
    "GET /v1/time-off/{block_id}",
    "GET /v1/uploads/{upload_id}",
    "GET /v1/webhook-events/{event_id}",
}
NOTHING_TO_READ = {
    COACH: NOT_IN_SAMPLE | {"GET /v1/refunds/{refund_id}", "GET /v1/sessions/{session_id}/cancellation"},
    CLIENT: NOT_IN_SAMPLE
    | {
        "GET /v1/cancellation-policy",
        "GET /v1/credits/{credit_id}",
        "GET /v1/gateway-accounts/{account_id}",
        "GET /v1/notes/{note_id}",
        "GET /v1/practice",
        "GET /v1/practice/letterhead",
        "GET /v1/series/{series_id}",
    },
}

Ids = dict[str, list[str]]


@pytest.fixture(scope="module")
def operations(served: Served) -> list[APIOperation[Any, Any, Any]]:
    """Every operation of the served document."""
    document = schemathesis.openapi.from_dict(served.app.openapi())
    # The live stream never ends: tests/features/live looks at it.
    found = [operation.ok() for operation in document.get_all_operations()]
    return [operation for operation in found if operation.path != "/v1/live"]


def visible_ids(as_user: AsUser, user_id: object) -> Ids:
    """Some ids of each kind that a user sees."""
    found: Ids = {}
    with as_user(str(user_id)) as conn:
        for name, table in TABLES.items():
            rows = conn.execute(f"select id::text as id from public.{table} order by id limit 50").fetchall()
            found[name] = [row["id"] for row in rows]
    return found


def put_in(values: dict[str, Any], ids: Ids, turn: int) -> None:
    """Replace made-up ids by real ones."""
    for name, made_up in values.items():
        real = ids.get(name)
        if real and isinstance(made_up, str):
            values[name] = real[turn % len(real)]


def every_one(operation: APIOperation[Any, Any, Any], ids: Ids) -> Iterator[schemathesis.Case]:
    """A read of each thing of its kind: which of them answers must not hang on the order of their made-up ids."""
    names = [parameter.name for parameter in operation.path_parameters]
    if operation.method == "get" and len(names) == 1:
        for real in ids.get(names[0], []):
            yield operation.Case(path_parameters={names[0]: real})


def wrong_parts(case: schemathesis.Case) -> set[ParameterLocation]:
    """Which parts of a generated request the document forbids."""
    assert case.meta is not None
    return {location for location, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}


def knock(
    operation: APIOperation[Any, Any, Any],
    mode: GenerationMode,
    examples: int,
    send: Callable[[schemathesis.Case, int], None],
) -> None:
    """Send some generated requests of one kind to one operation."""
    turns: Iterator[int] = iter(range(10_000))

    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        send(case, next(turns))

    try:
        run()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "nothing valid can be made for it"


@pytest.mark.parametrize("email", [COACH, CLIENT, None], ids=["coach", "client", "nobody"])
def test_every_route_answers_as_declared(
    served: Served, operations: list[APIOperation[Any, Any, Any]], as_user: AsUser, email: str | None
) -> None:
    ids = visible_ids(as_user, served.ids[email]) if email else {}
    headers = served.headers(email)
    failures: list[str] = []
    good: set[str] = set()
    for operation in operations:

        def send(case: schemathesis.Case, turn: int, label: str = operation.label) -> None:
            if turn % 2 == 0:
                put_in(case.path_parameters, ids, turn // 2)
                if isinstance(case.body, dict):
                    put_in(case.body, ids, turn // 2)
            answer = case.call(base_url=served.url, headers=headers)
            if answer.status_code < 400:
                good.add(label)
            case.validate_response(answer, checks=DECLARED, headers=headers)

        try:
            knock(operation, GenerationMode.POSITIVE, 6 if email else 2, send)
            for case in every_one(operation, ids) if operation.label not in good else ():
                send(case, 1)
        except (Exception, BaseExceptionGroup) as failed:  # noqa: BLE001 - all routes are looked at before it fails
            failures.append(f"{operation.label}: {failed}")
    assert not failures, "\n\n".join(failures)
    if email is not None:
        reads = {operation.label for operation in operations if operation.method == "get"}
        # A suite that only ever sees 404 proves little.
        assert sorted(reads - good - NOTHING_TO_READ[email]) == []


def test_every_route_refuses_what_the_document_forbids(
    served: Served, operations: list[APIOperation[Any, Any, Any]], as_user: AsUser
) -> None:
    ids = visible_ids(as_user, served.ids[COACH])
    headers = served.headers(COACH)
    failures: list[str] = []
    for operation in operations:

        def send(case: schemathesis.Case, turn: int) -> None:
            wrong = wrong_parts(case)
            if wrong <= {ParameterLocation.HEADER}:
                return  # the headers are the signed-in coach's, whatever was made up for them
            if ParameterLocation.PATH not in wrong:
                put_in(case.path_parameters, ids, turn)
            answer = case.call(base_url=served.url, headers=headers)
            case.validate_response(answer, checks=(*DECLARED, negative_data_rejection), headers=headers)

        try:
            knock(operation, GenerationMode.NEGATIVE, 3, send)
        except (Exception, BaseExceptionGroup) as failed:  # noqa: BLE001 - all routes are looked at before it fails
            failures.append(f"{operation.label}: {failed}")
    assert not failures, "\n\n".join(failures)


def test_every_kind_of_id_is_known_to_the_test(
    operations: list[APIOperation[Any, Any, Any]], owner: psycopg.Connection[Any]
) -> None:
    names = {parameter.name for operation in operations for parameter in operation.path_parameters}
    assert {name for name in names if name.endswith("_id")} - set(TABLES) == set()
    for table in TABLES.values():
        assert owner.execute("select to_regclass(%s) as found", [f"public.{table}"]).fetchone()
