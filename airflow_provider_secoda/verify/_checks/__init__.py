"""The checks: a file against its manifest, its records, the files of a series, and the API."""
