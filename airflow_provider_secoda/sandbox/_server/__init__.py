"""The HTTP side of the sandbox: routes, pages under faults, and the server thread."""
