"""Read a time window of the audit logs from numbered pages, and follow the log. Nothing in this package sends."""
