"""Follow the audit log: at each poll, return the logs that were stored since the last one. Nothing here sends."""
