"""Helpers that tests share; imported absolutely, as in `from tests.support.hub import HubUser`."""
