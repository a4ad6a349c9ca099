"""The server does what its OpenAPI description says, whatever is sent: checked by schemathesis."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import openapi
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from aesmamba_sdk.errors import UserError
from aesmamba_sdk.serve.settings import Settings
from tests.serve.client import TOKEN, running

EXAMPLES = 6
"""An operation and mode. Not all that a schema allows is accepted: scores lie on scales."""


@pytest.fixture
def served(sdk):
    """The SDK behind a server, and what the server says of itself."""
    with running(sdk, settings=Settings(max_jobs=1000)) as client:
        description = client.get("/openapi.json").json
        url = f"http://127.0.0.1:{client.port}"
        schema = openapi.from_dict(description)
        schema.config.update(base_url=url)
        yield sdk, schema


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_is_described(served, mode):
    sdk, schema = served
    for result in schema.get_all_operations():
        operation = result.ok()
        known = {"path_parameters": {"user": "alice"}} if "{user}" in operation.path else {}

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode, **known))
        def holds(case):
            with suppress(UserError):
                sdk.users.add("alice")  # unless the case before removed her
            headers = {"Authorization": f"Bearer {TOKEN}"}
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

        try:
            holds()
        except Unsatisfiable:  # a request without parameters cannot be wrong
            assert mode is GenerationMode.NEGATIVE
