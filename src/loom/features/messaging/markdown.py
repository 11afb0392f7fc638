"""Text of messages as HTML: a small Markdown, rendered when it is asked for and never stored.

What is stored is what was typed; a hole found in the rendering later is closed for old messages too.
"""

from __future__ import annotations

from functools import cache, lru_cache

import nh3
from markdown_it import MarkdownIt

_TAGS = {"p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
# Mixed Hebrew and English: each block finds its own direction from its first strong character.
_BLOCKS = {"p", "li", "blockquote", "ul", "ol"}

_RULES = [
    "emphasis",
    "strikethrough",
    "backticks",
    "fence",
    "code",
    "list",
    "blockquote",
    "link",
    "autolink",
    "newline",
    "escape",
    "entity",
    "balance_pairs",
    "fragments_join",
]


@cache
def _parser() -> MarkdownIt:
    # No raw HTML, no images (a picture from elsewhere would tell its server who reads when), no headings, no tables.
    parser = MarkdownIt("zero", {"html": False, "breaks": True, "maxNesting": 20})
    parser.enable(_RULES)
    return parser


@lru_cache(maxsize=2048)
def render(text: str) -> str:
    """Safe HTML of a message."""
    return nh3.clean(
        _parser().render(text),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={tag: {"dir": "auto"} for tag in _BLOCKS},
    ).strip()
