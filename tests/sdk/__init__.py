"""The hub as the published SDKs see it: one set of scenarios, run with each SDK in each codec."""

import pytest

# The scenarios live outside test modules, and should fail as readably as tests inside them.
pytest.register_assert_rewrite("tests.sdk.scenarios", "tests.support.sdk_clients")
