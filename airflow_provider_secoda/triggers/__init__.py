"""Triggers: the trigger of the deferred sensor, and the event triggers."""
