"""Tests of the hook; a package, since another folder has a test_secoda too."""
