"""Links from a task to its output file and to its resource in Secoda."""
