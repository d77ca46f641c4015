"""The event stream behind the event triggers: poll, catch up, deliver, keep cursors."""
