"""What documents, their mails and their pages say in each language."""

from __future__ import annotations

from loom.features.documents.schemas import Kind, Language

KINDS: dict[Language, dict[Kind, str]] = {
    "en": {
        "invoice": "Invoice",
        "tax_invoice": "Tax invoice",
        "receipt": "Receipt",
        "tax_invoice_receipt": "Tax invoice / receipt",
        "credit_note": "Credit note",
    },
    "he": {
        "invoice": "חשבון עסקה",
        "tax_invoice": "חשבונית מס",
        "receipt": "קבלה",
        "tax_invoice_receipt": "חשבונית מס/קבלה",
        "credit_note": "חשבונית זיכוי",
    },
}

LABELS: dict[Language, dict[str, str]] = {
    "en": {
        "draft": "Draft",
        "void": "Void",
        "to": "To",
        "tax_id": "Tax ID: {}",
        "date": "Date",
        "due": "Due",
        "description": "Description",
        "quantity": "Quantity",
        "price": "Price",
        "discount": "Discount",
        "line_total": "Total",
        "subtotal": "Subtotal",
        "tax": "Tax {rate}",
        "vat": "VAT {rate}",
        "total": "Total",
        "notes": "Notes",
        "transfer": "Bank transfer",
        "computerised": "Computerised document",
        "page": "Page {page} of {pages}",
    },
    "he": {
        "draft": "טיוטה",
        "void": "מבוטל",
        "to": "לכבוד",
        "tax_id": "מספר עוסק: {}",
        "date": "תאריך",
        "due": "לתשלום עד",
        "description": "תיאור",
        "quantity": "כמות",
        "price": "מחיר",
        "discount": "הנחה",
        "line_total": "סכום",
        "subtotal": "סכום ביניים",
        "tax": "מס {rate}",
        "vat": "מע״מ {rate}",
        "total": "סך הכול",
        "notes": "הערות",
        "transfer": "פרטים להעברה בנקאית",
        "computerised": "מסמך ממוחשב",
        "page": "עמוד {page} מתוך {pages}",
    },
}
