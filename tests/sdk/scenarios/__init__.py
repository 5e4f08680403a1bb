"""Classes of scenarios. A test module names the SDK in its ``make_client`` fixture and inherits them all."""
