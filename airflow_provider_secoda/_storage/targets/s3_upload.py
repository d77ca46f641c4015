"""Upload files to S3: with a checksum of each request where S3 may require one, and on a condition."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000
_PARTS_AT_ONCE = 2


def upload(store: Any, path: str, source: Path, **condition: str) -> None:
    """Upload a local file in one request, or a large one in parts.

    ``put_file`` of s3fs is not used: it cannot send a checksum of its own, nor the condition ``IfMatch``. By default
    AWS's client adds a CRC-32 to each object and part. Stores with S3's protocol that do not know it need the setting
    ``request_checksum_calculation=when_required``; then ``Content-MD5``, which all stores know, is sent instead,
    because S3 requires one of the two for a bucket with Object Lock.

    :param store: a file system of s3fs
    :param path: bucket and key
    :param condition: ``IfNoneMatch="*"``, or ``IfMatch`` with the ETag of the object to replace; of a file in parts
        it applies to the request that completes it
    :raises OSError: as s3fs translates the errors of the store; then no part remains, if they may be removed
    """
    bucket, key, _ = store.split_path(path)
    call, where = store.call_s3, {"Bucket": bucket, "Key": key}
    content_type = mimetypes.guess_type(source.name)[0]
    described = where if content_type is None else {**where, "ContentType": content_type}
    size = source.stat().st_size
    part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
    with source.open("rb") as file:
        if size < 2 * part_bytes:
            call("put_object", **described, **_body(store, file.read()), **condition)
            return
        where["UploadId"] = call("create_multipart_upload", **described)["UploadId"]
        try:
            parts = list(_upload_parts(store, where, file, part_bytes))
            call("complete_multipart_upload", **where, MultipartUpload={"Parts": parts}, **condition)
        except BaseException:
            with suppress(Exception):  # the error above is raised
                call("abort_multipart_upload", **where)
            raise


def _upload_parts(store: Any, where: dict[str, Any], file: IO[bytes], part_bytes: int) -> Iterator[dict[str, Any]]:
    """Upload the parts of a file, some at the same time; yield what the completing request contains of each."""

    def upload_part(number: int, content: bytes) -> dict[str, Any]:
        answer = store.call_s3("upload_part", **where, PartNumber=number, **_body(store, content))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    number = 1
    with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
        while contents := [content for _ in range(_PARTS_AT_ONCE) if (content := file.read(part_bytes))]:
            yield from pool.map(upload_part, range(number, number + len(contents)), contents)
            number += len(contents)


def _body(store: Any, content: bytes) -> dict[str, Any]:
    """Return the body of a request, with its MD5 if the client does not add another checksum."""
    if getattr(store.s3.meta.config, "request_checksum_calculation", None) == "when_supported":
        return {"Body": content}
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return {"Body": content, "ContentMD5": base64.b64encode(digest).decode()}
