"""The result as text and as JSON."""
