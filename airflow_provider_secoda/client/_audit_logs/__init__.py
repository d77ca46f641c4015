"""Read a time window of the audit logs out of numbered pages. Nothing here sends."""
