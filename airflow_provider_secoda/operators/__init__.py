"""Operators that read Secoda."""
