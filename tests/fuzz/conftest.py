"""Record how much was tried."""

from tests.fuzz.fuzzing import tried
from tests.helpers import figures


def pytest_sessionfinish():
    if tried.inputs:
        figures.record("fuzz", inputs=tried.inputs, bytes=tried.bytes)
