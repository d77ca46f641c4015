"""Sensors that wait for changes in Secoda."""
