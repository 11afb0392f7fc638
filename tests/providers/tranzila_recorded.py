"""What Tranzila really sends, as public sources show it: names and values of fields, written down as facts.

They keep client and emulator from being each other's only proof.
"""

from __future__ import annotations

from typing import Any

# A notice of a card payment from the hosted page (mode AK: charge and token), as a public example shows it.
CARD_NOTICE: dict[str, str] = {
    "Response": "000", "o_tranmode": "AK", "expmonth": "08", "sum": "200", "benid": "", "lang": "il", "o_npay": "",
    "bit_pay": "0", "contact": "John Doe", "currency": "1", "nologo": "1", "expyear": "28", "supplier": "myterminal",
    "country": "", "o_cred_type": "", "ccard": "", "IMaam": "0", "tranmode": "AK", "ConfirmationCode": "1234567",
    "cardtype": "1", "cardissuer": "1", "cardaquirer": "1", "index": "123456", "Tempref": "12345678",
    "TranzilaTK": "W2e44ed5b8ac0b31111", "ccno": "",
}  # fmt: skip

# A notice of the bit wallet: the currency is a word, and the card is masked.
BIT_NOTICE: dict[str, str] = {
    "index": "12345", "ConfirmationCode": "1234567", "Response": "000", "processor_response_code": "000",
    "supplier": "myterminal", "terminal_name": "myterminal", "ccno": "123456******7890", "sum": "500",
    "currency": "ILS",
    "expyear": "28", "expmonth": "08", "bit": "bit", "payment_method": "BIT",
}  # fmt: skip

# Answers of the API (v1/transaction/credit_card/create).
DEBIT_APPROVED: dict[str, Any] = {
    "error_code": 0, "message": "Success",
    "transaction_result": {
        "processor_response_code": "000", "transaction_id": "213", "transaction_resource": 0,
        "Responsecvv": "3",
        "Responseid": "0", "amount": 1, "auth_number": "0000000", "card_type": "2", "card_type_name": "Visa",
        "currency_code": "1", "expiry_month": 12, "expiry_year": 25, "payment_plan": "1", "credit_card_owner_id": "",
        "card_issuer": "2", "token": "Xb70373db92230b1111", "last_4": "1111", "card_mask": "411111******1111",
        "card_locality": "foreign", "txn_type": "debit", "tranmode": "A",
    },
    "original_request": {},
}  # fmt: skip
CREDIT_APPROVED: dict[str, Any] = {
    "error_code": 0, "message": "Transaction approved",
    "transaction_result": {
        "txn_type": "credit", "transaction_id": "123456789", "amount": "10.00", "currency": "ILS",
        "terminal_name": "test_terminal", "auth_number": "0000000", "processor_response_code": "000",
    },
}  # fmt: skip
HELD: dict[str, Any] = {
    "error_code": 0, "message": "Transaction approved",
    "transaction_result": {
        "txn_type": "verify", "verify_mode": 5, "transaction_id": "123456789", "amount": "10.00", "currency": "ILS",
        "terminal_name": "test_terminal", "auth_number": "0000000", "processor_response_code": "000",
    },
}  # fmt: skip
REFUND_TOO_LARGE: dict[str, Any] = {
    "error_code": 23002, "message": "sum is larger than the original debit transaction",
    "transaction_result": {
        "processor_response_code": "002", "transaction_id": None, "auth_number": None, "card_type": None,
        "card_type_name": None, "currency_code": "ILS", "amount": 10.00, "txn_type": "credit", "tranmode": "A",
    },
}  # fmt: skip
# From a terminal of the older generation, where 036 said that a card has expired.
OLD_EXPIRED: dict[str, Any] = {
    "error_code": 36, "message": "Expired.",
    "transaction_result": {"processor_response_code": "036", "transaction_id": "28-0000000"}, "original_request": {},
}  # fmt: skip
VOIDED: dict[str, Any] = {"error_code": 0, "message": "Success"}
HANDSHAKE_V1 = "thtk=t3f88ef9db79d792b85c5dcdb3f52ba1e"

# A line of the report (report …/v1/transaction).
REPORT_LINE: dict[str, Any] = {
    "index": "123457", "transaction_date": "2025-01-01", "transaction_time": "12:33:20", "amount": "10000",
    "credit_card_token": "123efa321e1234", "expiration_month": "08", "expiration_year": "27",
    "credit_card_owner_id": "",
    "card_type": "1", "card_description": "", "card_brand": "1", "clearing_processor": "1", "is_foreign": "0",
    "authorization_number": "1234567890", "bank": "", "payment_plan": "1", "currency": "1", "number_of_payments": "0",
    "host_ip": "127.0.0.1", "processor_response_code": "000", "tranmode": "A", "refnr": "1234567890",
    "tempref": "12345678", "child_terminal": "myterminal", "transtatus": "1", "txn_payment_method": "CC",
    "txn_type": "DEBIT", "pan_entry_mode": "50", "processor": "SHVA", "user_defined_1": "",
}  # fmt: skip
