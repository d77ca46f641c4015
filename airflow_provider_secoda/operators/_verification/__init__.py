"""The operator that verifies files of audit logs."""
