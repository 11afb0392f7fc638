"""How refusals of the practice's tables are told to callers."""

from __future__ import annotations

_ZONE = (422, "timezone_unknown", "There is no such time zone. Use an IANA name such as Asia/Jerusalem.")
_EXISTS = (409, "client_exists", "This client is already there.")

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "coach_clients_coach_id_client_id_key": _EXISTS,
    "coach_clients_coach_id_email_key": _EXISTS,
    "coach_clients_email_check": (422, "email_invalid", "That is not an e-mail address."),
    "coach_clients_display_name_plain": (
        422,
        "name_invalid",
        "A name is one line, and all of its characters are visible.",
    ),
    "coach_clients_somebody_check": (422, "client_nameless", "A client needs a name, an address or an account."),
    "coach_availability_valid_time": (422, "hours_invalid", "A range must end after it starts."),
    "coach_availability_continues": (
        422,
        "hours_invalid",
        "A range that goes on after midnight ends at 24:00 and goes on until no later than its start.",
    ),
    "coach_availability_day_of_week_check": (422, "hours_invalid", "Days are 0 (Sunday) to 6 (Saturday)."),
    "coach_availability_coach_id_day_of_week_start_time_end_time_key": (
        409,
        "availability_overlap",
        "Two ranges of one day overlap.",
    ),
    "practices_timezone_check": _ZONE,
    "practices_currency_check": (
        422,
        "currency_unknown",
        "There is no such currency (ISO 4217), such as ILS.",
    ),
    "practices_country_check": (422, "country_invalid", "A country is two capital letters (ISO 3166), such as IL."),
}

ERROR_CODES: dict[str, str] = {
    "answer_invalid": "An answer is accept or decline.",
    "availability_invalid": "The week is not a list of at most 168 ranges.",
    "availability_overlap": "Two ranges of hours overlap.",
    "buffer_out_of_range": "A buffer around sessions is 0 to 480 minutes.",
    "client_email_missing": "An invitation needs an e-mail address.",
    "client_exists": "The coach already has a client with this address or account.",
    "client_has_account": "The client has an account: the address is theirs to change.",
    "client_nameless": "A client needs a name, an address or an account.",
    "client_state_invalid": "A client is added as active or invited, by hand or by invitation.",
    "country_invalid": "A country is two capital letters (ISO 3166).",
    "currency_unknown": "There is no such currency (ISO 4217).",
    "email_invalid": "The text is not an e-mail address.",
    "hours_invalid": "A range of hours ends after it starts, within a day; weekdays are 0 to 6.",
    "invitation_open": "Only the invited person can accept an invitation.",
    "invitation_too_soon": "This client was sent an invitation minutes ago, or said no within a week.",
    "relation_ended": "The coach has ended the relation and takes no bookings from this person.",
    "timezone_unknown": "There is no such time zone (IANA).",
}
