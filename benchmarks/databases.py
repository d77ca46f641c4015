"""PostgreSQL and Redis for one benchmark: Debian's servers, on loopback, with nothing left behind.

Each has its files in a folder of its own, a free port, and a password made up for it, as others share the machine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("postgresql", "redis-server")
_START_SECONDS = 60
_STOP_SECONDS = 20
#: PostgreSQL will not run as root; Debian's package creates this user.
_POSTGRES_USER = "postgres"


def require(*, install: bool) -> None:
    """Make sure that both servers are installed.

    :param install: have Debian's package manager install what is missing, which takes root.
    :raises SystemExit: with the command that installs them.
    """
    found = {PACKAGES[0]: postgres_programs(), PACKAGES[1]: shutil.which("redis-server")}
    missing = [name for name, program in found.items() if program is None]
    if missing and install:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], check=True, stdout=sys.stderr)
    elif missing:
        raise SystemExit(f"not installed: apt-get install {' '.join(missing)} (or --install, as root)")


def versions() -> str:
    """Return which versions these are."""
    postgres = _said([str(postgres_programs() / "postgres"), "--version"]).split()[2]
    redis = next(word for word in _said(["redis-server", "--version"]).split() if word.startswith("v="))[2:]
    return f"PostgreSQL {postgres}, Redis {redis}"


@contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL; yield the address of an empty database, ``user:password@host:port/name``."""
    programs, port, password = postgres_programs(), _free_port(), secrets.token_urlsafe(16)
    user = _POSTGRES_USER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="benchmark-postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(password)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "airflow", "--pwfile", folder / "password", "-E", "UTF8"]
        _run([*made, "--auth=scram-sha-256", "--no-sync"], user)
        served = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        with _server([*served, "-c", "max_connections=200"], folder / "log", signal.SIGINT, user) as server:
            _until_open(port, server, folder / "log")
            asked = [programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow"]
            _until_done(asked, {"PGPASSWORD": password})
            yield f"airflow:{password}@127.0.0.1:{port}/airflow"


@contextmanager
def redis() -> Iterator[str]:
    """Run Redis, in memory only; yield its URL."""
    port, password = _free_port(), secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="benchmark-redis-") as name:
        settings = Path(name, "redis.conf")  # not in the arguments, which everybody sees
        settings.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {name}\n'
        )
        with _server(["redis-server", settings], Path(name, "log"), signal.SIGTERM) as server:
            _until_open(port, server, Path(name, "log"))
            yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextmanager
def _server(
    command: list[str | Path], log: Path, stop: signal.Signals, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, user=user, cwd=log.parent)
    try:
        yield server
    finally:
        server.send_signal(stop)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until_open(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_open(port):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"a server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until_done(command: list[str | Path], environment: dict[str, str]) -> None:
    """Repeat a command until it succeeds: a server that listens may still be starting up."""
    deadline = time.monotonic() + _START_SECONDS
    while (done := subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(done.stderr.decode(errors="replace"))
        time.sleep(0.2)


def _run(command: list[str | Path], user: str | None) -> None:
    done = subprocess.run(command, user=user, capture_output=True, check=False, cwd="/")
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version's, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
