"""Wait for a new version of a resource, on a worker or in the triggerer: the decisions, and the triggerer's loop."""
