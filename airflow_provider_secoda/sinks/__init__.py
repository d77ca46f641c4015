"""Put records where they shall lie: sorted, each once, whole or not at all, and the same bytes every time."""
