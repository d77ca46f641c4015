"""What waits in the triggerer, and what fires assets."""
