"""How refusals of conversations and messages are told to callers."""

from __future__ import annotations

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "messages_client_message_key": (
        409,
        "idempotency_conflict",
        "This client_message_id was used for another message.",
    ),
    "message_reactions_message_id_user_id_emoji_key": (409, "reaction_exists", "You have reacted with this already."),
    "message_mentions_message_id_mentioned_user_id_key": (409, "mention_exists", "This person is mentioned already."),
    "message_mentions_participant_fkey": (
        422,
        "mention_unknown",
        "Only people in this conversation can be mentioned.",
    ),
    "push_subscriptions_endpoint_check": (422, "endpoint_refused", "Notices are not sent to this address."),
    "push_subscriptions_keys_check": (422, "device_keys_invalid", "The keys of the device are not valid."),
    "push_subscriptions_label_check": (422, "label_invalid", "A label has 1 to 100 characters."),
}

ERROR_CODES: dict[str, str] = {
    "attachment_not_ready": "A file is not yours, was not checked yet, was refused, or was sent already.",
    "file_name_invalid": "A file's name has 1 to 200 visible characters, no slashes, and ends as files of its type do.",
    "file_too_large": "The file is larger than this server takes.",
    "file_type_refused": "Files of this type are not taken.",
    "link_expired": "The link has ended, or was not made here. Ask for a new one.",
    "too_many_attachments": "A message has at most ten files.",
    "too_many_uploads": "Fifty files are waiting already. Send or drop some first.",
    "upload_missing": "The bytes of the file have not arrived.",
    "content_invalid": "A message has 1 to 10,000 characters, not only spaces or characters that nobody sees.",
    "conversation_direct": "A conversation of two keeps its two people: nobody leaves, joins or is removed.",
    "device_keys_invalid": "The keys of the device are not valid.",
    "endpoint_refused": "Notices are not sent to this address: not https, or inside a private network.",
    "group_needs_lead": "You alone lead the group, so it would have nobody who adds or removes people.",
    "idempotency_conflict": "The client_message_id was used for another message.",
    "label_invalid": "A label has 1 to 100 characters.",
    "mention_exists": "The person is mentioned in the message already.",
    "mention_unknown": "Only people who are in the conversation now can be mentioned.",
    "message_fixed": "A message keeps its conversation, place, sender and key.",
    "people_invalid": "A group has between 1 and 200 people besides its coach.",
    "people_follow_seats": "The people of a session's group are those with a seat: cancel or give the seat instead.",
    "person_not_found": "There is no such person for you to write to: a coach writes to clients, a client to coaches.",
    "program_invalid": "The name of a program has 1 to 200 characters, all of them visible.",
    "query_invalid": "Search needs at least one word.",
    "reaction_exists": "You have reacted to the message with this emoji already.",
    "reason_too_long": "A reason has at most 1,000 characters.",
    "reply_unknown": "The message replied to is not one that you can read in this conversation.",
    "session_closed": "The session is cancelled or was moved, so no conversation is opened for it.",
    "title_invalid": "A title has 1 to 200 characters, all of them visible and none that turns text around.",
    "user_has_history": "The person has messages that others rely on and cannot be deleted.",
}
