"""Servers, runners and checks that tests of several folders use."""
