"""Assets: what in Secoda a DAG may stand for, wait for or read."""
