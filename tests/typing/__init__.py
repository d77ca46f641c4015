"""Public names of the package: what they are, and how mypy sees them in a user's code."""
