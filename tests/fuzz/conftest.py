"""Leave behind how much was tried."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "client"))  # for the drivers' common face

import figures
from fuzzing import tried


def pytest_sessionfinish():
    if tried.inputs:
        figures.record("fuzz", inputs=tried.inputs, bytes=tried.bytes)
