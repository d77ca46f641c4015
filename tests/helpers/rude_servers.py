"""Servers on loopback that do what the sandbox cannot: raw bytes, TLS with any certificate, proxies."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Self

EMPTY_PAGE = b'{"results":[],"count":0,"total_pages":1,"meta":{"page":1,"count":0,"total_pages":1}}'


def http(body: bytes = EMPTY_PAGE, status: str = "200 OK", **headers: str) -> bytes:
    """Return an HTTP response as bytes; header names have underscores for hyphens."""
    lines = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


class RawServer:
    """Answer each connection with bytes, and close it.

    :param answer: gets the request's head as bytes, returns the bytes to send; or the bytes themselves
    :param context: speak TLS with it
    :param hold: keep the connection open after the answer until the server stops
    """

    def __init__(
        self,
        answer: bytes | Callable[[bytes], bytes] = b"",
        *,
        context: ssl.SSLContext | None = None,
        hold: bool = False,
    ) -> None:
        self.answer = answer
        self.context = context
        self.hold = hold
        self.requests: list[bytes] = []
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                self.talk(connection)

    def talk(self, connection: socket.socket) -> None:
        request = _head(connection)
        if request:
            self.requests.append(request)
            connection.sendall(self.answer if isinstance(self.answer, bytes) else self.answer(request))
            if self.hold:
                self._stopped.wait(10)


class Tunnel(RawServer):
    """A proxy that connects every CONNECT to one server, for any host, and answers other requests.

    :ivar before: bytes to send before the response to a CONNECT
    """

    def __init__(self, target: RawServer | None = None, answer: bytes = b"") -> None:
        super().__init__(answer)
        self.target = target
        self.seen = b""
        self.before = b""

    def talk(self, connection: socket.socket) -> None:
        request = _head(connection)
        self.requests.append(request)
        if not request.startswith(b"CONNECT ") or self.target is None:
            connection.sendall(self.answer if isinstance(self.answer, bytes) else self.answer(request))
            return
        connection.sendall(self.before + b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.target.port)) as onward:
            back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
            back.start()
            while data := connection.recv(65536):
                self.seen += data
                onward.sendall(data)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    return data


def header(request: bytes, name: str) -> str | None:
    """Return a header of a request."""
    for line in request.decode("latin-1").split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.lower() == name.lower():
            return value.strip()
    return None


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """Create a self-signed certificate for a host name or an address; return its file and a server's context."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / f"{name}.pem", folder / f"{name}.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context
