"""The books: what is unbilled, who owes what, the journal, exports, series and rules, and whether all of it agrees."""
