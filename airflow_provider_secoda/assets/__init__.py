"""Assets in Secoda: audit logs of a workspace, and resources."""
