"""The window of time that a run is about, and how to split a large window into many."""

from airflow_provider_secoda._windows.resolve import Window, WindowError, resolve_window
from airflow_provider_secoda._windows.split import split_window

__all__ = ["Window", "WindowError", "resolve_window", "split_window"]
