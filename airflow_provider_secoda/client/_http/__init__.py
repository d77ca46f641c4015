"""Send requests: retries, backoff, limits, proxies, and the two transports."""
