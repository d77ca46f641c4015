"""The data of the sandbox: logs and versions, invented or given, and the sorted indexes over them."""
