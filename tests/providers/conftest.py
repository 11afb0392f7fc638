"""What providers print and log is searched for the secrets of gateways."""

from tests.support.secret_fixtures import pytest_runtest_makereport, secrets_are_followed

__all__ = ["pytest_runtest_makereport", "secrets_are_followed"]
