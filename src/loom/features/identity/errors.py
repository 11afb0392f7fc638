"""What identity refuses, by code."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "invalid_credentials": "No account has this address and this password.",
    "invalid_code": "The one-time code is wrong, used up or too old.",
    "email_not_verified": "The address has to be verified first, by the link that was mailed to it.",
    "account_inactive": "The account is suspended or switched off.",
    "invalid_link": "The link is unknown, used or too old.",
    "refresh_token_invalid": "The refresh token is unknown, expired or revoked: sign in again.",
    "refresh_token_reused": "The refresh token was used before; somebody may have copied it, so the sign-in is ended.",
    "sign_up_closed": "This server lets nobody make themselves an account.",
    "invalid_account": "The address or the password can't be used.",
    "email_taken": "There is an account with this address.",
    "second_factor_on": "A second factor is set up already.",
    "second_factor_off": "No second factor is set up.",
    "external_issuer": "Accounts live with another issuer; sign in there.",
    "token_keys_unavailable": "The other issuer's keys can't be fetched at the moment.",
    "last_admin": "The last active admin can't lose that role.",
    "schema_missing": "The database has no schema of Loom's.",
    "timezone_unknown": "There is no such time zone.",
    "name_invalid": "A name is too long, or holds characters that are not seen or that turn text around.",
}

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "users_timezone_known": (422, "timezone_unknown", "There is no such time zone."),
    "users_email_key": (409, "email_taken", "There is an account with this address."),
    "users_email_lower_key": (409, "email_taken", "There is an account with this address."),
}
