"""Links to where the output and the resources can be looked at."""
