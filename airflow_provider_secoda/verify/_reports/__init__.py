"""Reports of checks: files that a person can hand over, each of which names the digest of the one before it."""
