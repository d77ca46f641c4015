"""Read a time window of the audit logs from numbered pages. Nothing in this package sends."""
