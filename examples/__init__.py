"""Examples: what stands beside the service in a deployment."""
