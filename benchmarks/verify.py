"""How fast `verify` checks files, in how much memory, with and without signatures; and what signing a window costs.

``python benchmarks/verify.py > benchmarks/verify.md``; ``--quick`` for a smoke run of some seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
import memory_usage

if TYPE_CHECKING:
    from airflow_provider_secoda.signing import Signer

FORMATS = ("jsonl", "jsonl.gz", "parquet")
DAY = timedelta(days=1)
#: Memory above the start, in MiB: it must not depend on the number of records or files.
LIMIT = 160.0
_SIGNATURES = 20


def records_of_a_day(count: int) -> list[tuple[str, bytes]]:
    """Return logs of one day by their ids, in order, as the sandbox makes them."""
    from airflow_provider_secoda.sandbox import Workspace

    workspace = Workspace.generate(seed=common.SEED, logs=count, days=1, until=common.UNTIL)
    return [(json.loads(raw)["id"], raw) for raw in workspace.window(common.UNTIL - DAY, common.UNTIL)]


def write_day(path: Path, start: datetime, records: list[tuple[str, bytes]], signer: Signer | None) -> None:
    """Write a file and its manifest as the operator does."""
    from airflow_provider_secoda._storage.formats import format_of
    from airflow_provider_secoda._storage.manifest import ManifestBuilder
    from airflow_provider_secoda._storage.write import write_atomically

    old, new = (f"{day:%Y-%m-%d}".encode() for day in (common.UNTIL - DAY, start))
    prefix = f"{start:%j}-"
    logs = (
        (0, prefix + log_id, raw.replace(old, new).replace(log_id.encode(), (prefix + log_id).encode(), 1))
        for log_id, raw in records
    )
    with ManifestBuilder(format_of(path.name)) as builder:

        def manifest(written: Any) -> Any:
            file = {"name": path.name, "format": written.format, "bytes": written.bytes, "sha256": written.sha256}
            edges = {"start": start.isoformat(), "end": (start + DAY).isoformat(), "timestamp_field": "logged_at"}
            source = {"connection_id": "secoda_default", "base_url": "https://api.secoda.co"}
            header = {"file": {**file, "count": len(records)}, "query": edges, "source": source}
            return builder.manifest({**header, "signing_key": written.signing_key})

        write_atomically(builder.watch(logs), str(path), manifest=manifest, signer=signer)


def measure(folder: str, key: str | None) -> dict[str, Any]:
    """Verify a folder once, in this process; return the counts, seconds and MiB."""
    from airflow_provider_secoda.verify import verify

    if folder.endswith("parquet"):
        import pyarrow.parquet  # noqa: F401 - its memory is part of the start

    began = memory_usage.start()
    clock, processor = time.perf_counter(), time.process_time()
    result = verify([folder], public_keys=None if key is None else [key])
    return {
        "wall": time.perf_counter() - clock,
        "busy": time.process_time() - processor,
        "records": result.records,
        "findings": result.finding_count + len(result.errors),
        "signed": sum(file.signing_key is not None for file in result.files),
        "memory": memory_usage.peak() - began,
    }


def measured(folder: Path, key: Path | None, records: int, files: int) -> dict[str, Any]:
    """Do that in a process of its own, and check what it verified."""
    print(f"{folder.name}, {'no key' if key is None else key.name}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--measure", str(folder), *([] if key is None else [str(key)])]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    expected = {"records": records, "findings": 0, "signed": 0 if key is None else files}
    if {name: found[name] for name in expected} != expected:
        sys.exit(f"{folder}: {found} instead of {expected}")
    return found


def signing(folder: Path, pem: bytes) -> list[str]:
    """Return the size of a manifest, and the milliseconds of processor time for reading a key and for a signature."""
    from airflow_provider_secoda.signing import PrivateKeySigner, sign, sign_file

    manifest = next(folder.glob("_manifests/*.manifest"))
    processor = [time.process_time()]
    for _ in range(_SIGNATURES):
        signer = PrivateKeySigner.from_pem(pem)
        sign(signer, b"test")
    processor.append(time.process_time())
    for _ in range(_SIGNATURES):
        sign_file(signer, manifest)
    processor.append(time.process_time())
    costs = (1000 * (after - before) / _SIGNATURES for before, after in pairwise(processor))
    return [f"{manifest.stat().st_size / 1e6:.1f} MB", *(f"{each:.2f}" for each in costs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few records, and no Parquet")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*[*options.measure, None][:2])))
        return
    from airflow_provider_secoda.signing import PrivateKeySigner, generate_key

    total, files = (20_000, 9) if options.quick else (1_000_000, 90)
    records = records_of_a_day(total // files)
    count = len(records) * files
    print(f"# Verify {count:,} records in {files} files\n\n{common.facts()}\n")
    rows, costs, most = [], [], 0.0
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        for kind in FORMATS[: 2 if options.quick else 3]:
            for name, pem in (("", None), ("Ed25519", generate_key()), ("ECDSA P-256", generate_key("p256"))):
                if name == "ECDSA P-256" and kind != "jsonl":
                    continue  # the format of the file does not matter for the signature
                signer = None if pem is None else PrivateKeySigner.from_pem(pem)
                folder, key = Path(directory, f"{name or 'not signed'}, {kind}"), None
                for number in range(files):
                    start = common.UNTIL - (number + 1) * DAY
                    write_day(folder / f"{start:%Y-%m-%d}.{kind}", start, records, signer)
                if signer is not None and pem is not None:
                    key = Path(directory, f"{name}.pem")
                    key.write_bytes(signer.public_key)
                    costs += [[name, *signing(folder, pem)]] if kind == "jsonl" else []
                found = measured(folder, key, count, files)
                most = max(most, found["memory"])
                speeds = (f"{count / found[each]:,.0f}" for each in ("wall", "busy"))
                rows.append([f"`.{kind}`", name or "not checked", *speeds, f"{found['memory']:.1f}"])
                shutil.rmtree(folder)
    print(common.table(["files", "signatures", "records/s", "records/s of processor time", "peak, MiB"], rows))
    print(f"\nAt most {LIMIT:g} MiB above the start: {'yes' if most <= LIMIT else '**no**'}.\n\n## Sign a window\n")
    head = ["key", f"manifest of {len(records):,} records", "read the key and test it, ms", "sign the manifest, ms"]
    print(common.table(head, costs))


if __name__ == "__main__":
    main()
