"""Receive the metrics that Airflow sends over UDP on loopback, as a StatsD server does."""

from __future__ import annotations

import socket
from collections import defaultdict
from contextlib import suppress
from typing import Any


class Listener:
    """A StatsD server for the provider's metrics; packets wait in the socket's buffer until they are read."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)  # Airflow sends many other metrics
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def settings(self, **more: Any) -> dict[str, str]:
        """Return the environment with which Airflow sends its metrics to this server.

        :param more: further options of the section ``metrics``.
        """
        options = {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": self._socket.getsockname()[1], **more}
        # 2.11 warns about options that later versions always set.
        options |= {"timer_unit_consistency": True, "metrics_use_pattern_match": True}
        return {f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in options.items()}

    def lines(self) -> list[str]:
        """Return the provider's metrics since the last call, such as ``secoda.requests:7|c``."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found += self._socket.recv(65_535).decode().splitlines()
        return [line.removeprefix("airflow.") for line in found if line.startswith("airflow.secoda.")]

    def heard(self, tag: str = "") -> dict[str, Any]:
        """Return the sum of each counter, and all values of each timer, in milliseconds, by name without tags.

        :param tag: return only metrics with this tag, such as ``secoda_conn_id=mine``.
        """
        found: defaultdict[str, Any] = defaultdict(int)
        for line in self.lines():
            name, _, value = line.partition(":")
            name, *tags = name.split(",")
            if tag and tag not in tags:
                continue
            value, kind = value.split("|")
            if kind == "c":
                found[name] += int(value)
            else:
                assert kind == "ms"
                found[name] = [*(found[name] or []), float(value)]
        return dict(found)
