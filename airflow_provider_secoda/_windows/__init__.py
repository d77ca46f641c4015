"""Decide which window of time a run is about."""
