"""Secoda without Airflow: a client that can be used from a script or a notebook.

Values (:mod:`.messages`, :mod:`.errors`, :mod:`.schema`, :mod:`.filters`, :mod:`.regions`), rules over them
(:mod:`.exchange`, :mod:`.window` and its parts) that hold no clock and no socket, and a thin driver
(:mod:`.sync`) that does the sending. Nothing here imports Airflow.
"""
