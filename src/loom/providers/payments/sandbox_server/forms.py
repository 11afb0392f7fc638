"""Forms as Stripe takes them: `metadata[reference]=x&expand[]=charge` becomes nested mappings and lists."""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import parse_qsl

_PART = re.compile(r"\[([^\[\]]*)\]")
_DEPTH = 6
_FIELDS = 1_000


def parse_form(text: str) -> dict[str, Any]:
    """Values stay strings. Raises ValueError for what is no form."""
    result: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"):
        head, bracket, _ = name.partition("[")
        parts = [head, *cast("list[str]", _PART.findall(name[len(head) :]))] if bracket else [head]
        if len(parts) > _DEPTH:
            raise ValueError("nested too deeply")
        _put(result, parts, value)
    return result


def _put(into: dict[str, Any], parts: list[str], value: str) -> None:
    if len(parts) == 1:
        into[parts[0]] = value
        return
    if parts[1] == "" or parts[1].isdigit():
        found: object = into.setdefault(parts[0], [])
        if not isinstance(found, list):
            raise ValueError(f"{parts[0]} is given twice in different forms")
        items = cast("list[Any]", found)
        place = len(items) if parts[1] == "" else min(int(parts[1]), len(items))
        if len(parts) == 2:
            items.insert(place, value)
            return
        if place == len(items):
            items.append({})
        _put(items[place], parts[2:], value)
        return
    inner: object = into.setdefault(parts[0], {})
    if not isinstance(inner, dict):
        raise ValueError(f"{parts[0]} is given twice in different forms")
    _put(cast("dict[str, Any]", inner), parts[1:], value)
