"""The documented API as values: addresses, keys, limits, timestamps, requests and pages. Nothing here sends."""
