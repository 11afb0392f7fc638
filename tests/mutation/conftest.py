"""The stage that the matrix plays on: a database of its own for each module, with the world in it."""

from tests.policies.stage import stage

__all__ = ["stage"]
