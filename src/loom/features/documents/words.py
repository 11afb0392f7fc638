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
        "tax_id_registered": "VAT number: {}",
        "tax_id_exempt": "Exempt dealer: {}",
        "date": "Date",
        "due": "Due",
        "allocation": "Allocation number",
        "credit_of": "Takes back",
        "paid_by": "Paid by",
        "paid_on": "Paid on",
        "reference": "Reference",
        "description": "Description",
        "quantity": "Quantity",
        "price": "Price",
        "discount": "Discount",
        "lines_total": "Sum of the lines",
        "line_total": "Total",
        "subtotal": "Before tax",
        "tax": "Tax {rate}",
        "vat": "VAT {rate}",
        "total": "Total",
        "received": "Received",
        "tax_later": "The tax invoice follows with the payment.",
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
        "tax_id_registered": "ע.מ./ח.פ.: {}",
        "tax_id_exempt": "עוסק פטור: {}",
        "date": "תאריך",
        "due": "לתשלום עד",
        "allocation": "מספר הקצאה",
        "credit_of": "זיכוי עבור",
        "paid_by": "שולם באמצעות",
        "paid_on": "התקבל ביום",
        "reference": "אסמכתה",
        "description": "תיאור",
        "quantity": "כמות",
        "price": "מחיר",
        "discount": "הנחה",
        "lines_total": "סכום השורות",
        "line_total": "סכום",
        "subtotal": "לפני מס",
        "tax": "מס {rate}",
        "vat": "מע״מ {rate}",
        "total": "סך הכול",
        "received": "התקבל",
        "tax_later": "חשבונית המס תופק עם התשלום.",
        "notes": "הערות",
        "transfer": "פרטים להעברה בנקאית",
        "computerised": "מסמך ממוחשב",
        "page": "עמוד {page} מתוך {pages}",
    },
}

METHODS: dict[Language, dict[str, str]] = {
    "en": {
        "credit_card": "Card",
        "bank_transfer": "Bank transfer",
        "cash": "Cash",
        "voucher": "Voucher",
        "other": "Other",
    },
    "he": {
        "credit_card": "כרטיס אשראי",
        "bank_transfer": "העברה בנקאית",
        "cash": "מזומן",
        "voucher": "שובר",
        "other": "אחר",
    },
}
