"""What a person can do who may write everything in a signed store, but has no key: each manipulation by its name.

``ATTACKS`` has for each the function that does it, and the kind of finding that it must lead to; ``CHAIN_ATTACKS`` has
those that are found by comparing the store with reports. The store has five
days in each format, and two supplements of the second day. In the names, "forged" means that file and manifest were
written again, and fit together.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._reports.write import write_report
from tests.verify.output_files import SOURCE, log, write

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = timedelta(days=1)
UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAYS = 5
SIGNER, SECOND, STRANGER = (PrivateKeySigner.from_pem(generate_key(kind)) for kind in ("ed25519", "p256", "ed25519"))
#: The keys of the auditor: two, as after a change of the key. All manifests are signed with the first.
PUBLIC_KEYS = [signer.public_key.decode() for signer in (SIGNER, SECOND)]
FORMATS = ("jsonl", "jsonl.gz", "parquet")
#: Part of each header, so that an edited one can be checked.
READ = {"started_at": "2026-03-02T00:00:00Z", "settle_seconds": 60.0}
RUN = {"dag_id": "audit", "try_number": 1}


def write_signed(path: Path, start: datetime, records: list[bytes], signer=SIGNER, **more) -> Path:
    """Write a day as the operator does, with its manifest and signature."""
    return write(path, start, start + DAY, records, signer=signer, **{"read": READ, "run": RUN} | more)


def build(root: Path, workspace: Workspace, days: int, formats: tuple[str, ...] = FORMATS) -> None:
    """Write a signed store: a folder for each format, and a file in it for each day."""
    for number in range(days, 0, -1):
        start = UNTIL - number * DAY
        records = workspace.window(start, start + DAY)
        for suffix in formats:
            write_signed(root / suffix / f"{start:%Y-%m-%d}.{suffix}", start, records)


def build_small(root: Path, formats: tuple[str, ...] = FORMATS) -> None:
    """Write the store that is attacked."""
    build(root, Workspace.generate(seed=7, logs=60, days=DAYS, until=UNTIL), DAYS, formats)
    for number in (1, 2):
        late, before = Store(root, number=2, late=number), Store(root, number=2, late=number - 1)
        write_signed(late.file, late.start, late_logs(late), supplement=follows(before, number))


def late_logs(store: Store) -> list[bytes]:
    return [log(f"late {store.late} {number}", store.start + DAY / 2) for number in (1, 2)]


def follows(before: Store, number: int) -> dict:
    """Return the member of the manifest of a supplement that names the manifest before it."""
    digest = hashlib.sha256(before.manifest.read_bytes()).hexdigest()
    return {"number": number, "of": Store(before.root, number=2).file.name, "previous_manifest_sha256": digest}


@dataclass(frozen=True)
class Store:
    """A copy of the store, for one attack.

    :ivar number: of the day that is attacked, from 1
    :ivar late: number of the supplement; 0 for the first file of the day
    """

    root: Path
    suffix: str = "jsonl"
    number: int = 3
    late: int = 0

    @property
    def start(self) -> datetime:
        return UNTIL - (DAYS + 1 - self.number) * DAY

    @property
    def file(self) -> Path:
        late = f".late-{self.late}" if self.late else ""
        return self.root / self.suffix / f"{self.start:%Y-%m-%d}{late}.{self.suffix}"

    @property
    def manifest(self) -> Path:
        return self.file.parent / "_manifests" / f"_{self.file.name}.manifest"

    @property
    def signature(self) -> Path:
        return self.manifest.with_name(f"{self.manifest.name}.sig")

    @property
    def three(self) -> tuple[Path, Path, Path]:
        return self.file, self.manifest, self.signature

    def of(self, number: int = 3, late: int = 0) -> Store:
        return Store(self.root, self.suffix, number, late)

    def supplement(self, late: int) -> Store:
        """Return a supplement of the second day; 0: the first file of that day."""
        return self.of(number=2, late=late)

    @property
    def records(self) -> list[bytes]:
        if self.suffix == "parquet":
            import pyarrow.parquet

            return [raw.encode() for raw in pyarrow.parquet.read_table(self.file)["raw"].to_pylist()]
        content = self.file.read_bytes()
        return (gzip.decompress(content) if self.suffix.endswith(".gz") else content).splitlines()

    def set_lines(self, records: list[bytes]) -> None:
        """Replace the lines of the file, and nothing else."""
        content = b"".join(record + b"\n" for record in records)
        self.file.write_bytes(gzip.compress(content) if self.suffix.endswith(".gz") else content)

    def edit(self, old: bytes, new: bytes) -> None:
        """Replace something that occurs in the manifest, once."""
        content = self.manifest.read_bytes()
        assert old in content, old
        self.manifest.write_bytes(content.replace(old, new, 1))

    def forge(self, records: list[bytes], signer=None, **header) -> None:
        """Write file and manifest again, consistently; the old signature is put back if there is no other one."""
        signature = self.signature.read_bytes()
        header = {"signing_key": key_id(SIGNER.public_key)} | header if signer is None else header
        write_signed(self.file, self.start, records, signer, **header)
        if signer is None:
            self.signature.write_bytes(signature)

    def rename(self, to: Path, what: int = 3) -> None:
        """Give the file another name, then its manifest, then the signature.

        :param what: how many of the three
        """
        target = to.parent / "_manifests" / f"_{to.name}.manifest"
        target.parent.mkdir(exist_ok=True, parents=True)
        for old, new in list(zip(self.three, (to, target, f"{target}.sig"), strict=True))[:what]:
            old.rename(new)


class Attack(NamedTuple):
    """A manipulation.

    :ivar found: the kind of finding that it must lead to
    :ivar suffix: the format of the files that are attacked; the others are left out
    """

    found: str
    do: Callable[[Store], object]
    suffix: str = "jsonl"

    def on_copy(self, small: Path, root: Path) -> Path:
        """Attack a copy of the small store; return its folder."""
        shutil.copytree(small / self.suffix, root / self.suffix)
        self.do(Store(root, self.suffix))
        return root


def altered(records: list[bytes], number: int = 1) -> list[bytes]:
    """Return records of which one was altered, as by a person who wants to be somebody else."""
    changed = json.loads(records[number]) | {"performer_id": "somebody-else"}
    return [*records[:number], json.dumps(changed).encode(), *records[number + 1 :]]


def swap(store: Store, what: int, other: Store | None = None) -> None:
    """Exchange two days: the files, or also their manifests and signatures."""
    for first, second in list(zip(store.three, (other or store.of(number=4)).three, strict=True))[:what]:
        held = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(held)


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


def link(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to)


def extra_file(store: Store, signer=None) -> None:
    """Add a second file for a day, without a signature or with that of another key."""
    write_signed(store.file.with_name("more.jsonl"), store.start, [log("forged", store.start)], signer)


def copy_supplement(store: Store, to: Store) -> None:
    """Write a supplement, with its manifest and signature, as another one."""
    for path, target in zip(store.three, to.three, strict=True):
        shutil.copy(path, target)


def older_first_file(store: Store) -> None:
    """Put the first file of the second day back as it was before, validly signed: without its last log."""
    first = store.supplement(0)
    write_signed(first.file, first.start, first.records[:-1])


def copy_three(store: Store, to: Path) -> None:
    for path in store.three:
        target = to / path.relative_to(store.file.parent)
        target.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(path, target)


def other_series(store: Store) -> None:
    """Put a day of another connection, which has a valid signature, in the place of a day."""
    source = {**SOURCE, "connection_id": "of_a_test_workspace"}
    write_signed(store.file, store.start, store.records[:1], source=source)


def edit_column(store: Store, *, raw: bool) -> None:
    """Alter the typed columns of a Parquet file, or also the column with the original log."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(store.file)
    values = table["performer_id"].to_pylist()
    changed = table.set_column(
        table.schema.get_field_index("performer_id"), "performer_id", pa.array(["somebody-else", *values[1:]])
    )
    if raw:
        raws = [each.decode() for each in altered(store.records, 0)]
        changed = changed.set_column(table.schema.get_field_index("raw"), "raw", pa.array(raws))
    pq.write_table(changed, store.file)


def other_format(store: Store) -> None:
    """Write the same records in another format, with the manifest and the signature of the first."""
    target = store.file.with_suffix(".jsonl.gz")
    store.rename(target)
    target.write_bytes(gzip.compress(target.read_bytes()))


def reformat(store: Store) -> None:
    store.manifest.write_bytes(json.dumps(json.loads(store.manifest.read_bytes())).encode())


def edit_record_and_digest(store: Store) -> None:
    """Alter a record, and all digests in the manifest that depend on it."""
    store.forge(altered(store.records))


KEY = key_id(SIGNER.public_key).encode()
SECOND_KEY = key_id(SECOND.public_key).encode()
EVIL = b"\\u001b[2J\\u202e"

ATTACKS: dict[str, Attack] = {
    # --- only the file
    "record altered": Attack("altered", lambda s: s.set_lines(altered(s.records))),
    "record added": Attack("added", lambda s: s.set_lines([*s.records, log("forged", s.start + DAY / 2)])),
    "record removed": Attack("removed", lambda s: s.set_lines(s.records[:-1])),
    "record in twice": Attack("duplicate", lambda s: s.set_lines([s.records[0], *s.records])),
    "records in another order": Attack("moved", lambda s: s.set_lines(s.records[::-1])),
    "file truncated in a record": Attack("checksum", lambda s: s.file.write_bytes(s.file.read_bytes()[:-40])),
    "file truncated between records": Attack("removed", lambda s: s.set_lines(s.records[:3])),
    "file emptied": Attack("removed", lambda s: s.file.write_bytes(b"")),
    "file of another day": Attack("checksum", lambda s: shutil.copy(s.of(number=4).file, s.file)),
    "two days swapped": Attack("checksum", lambda s: swap(s, 1)),
    "file is a link to another day": Attack("checksum", lambda s: link(s.file, s.of(number=4).file)),
    "file is a link to nothing": Attack("file_missing", lambda s: link(s.file, s.root / "nowhere")),
    "file with a byte order mark": Attack(
        "invalid_record", lambda s: s.file.write_bytes(b"\xef\xbb\xbf" + s.file.read_bytes())
    ),
    "file with the line breaks of Windows": Attack(
        "reencoded", lambda s: s.file.write_bytes(s.file.read_bytes().replace(b"\n", b"\r\n"))
    ),
    "gzip altered": Attack("altered", lambda s: s.set_lines(altered(s.records)), "jsonl.gz"),
    "gzip packed again": Attack("reencoded", lambda s: s.set_lines(s.records), "jsonl.gz"),
    "gzip with a second part": Attack(
        "added",
        lambda s: s.file.write_bytes(s.file.read_bytes() + gzip.compress(log("forged", s.start + DAY / 2) + b"\n")),
        "jsonl.gz",
    ),
    "gzip with bytes after its end": Attack(
        "damaged", lambda s: s.file.write_bytes(s.file.read_bytes() + b"more"), "jsonl.gz"
    ),
    "gzip truncated": Attack("damaged", lambda s: s.file.write_bytes(s.file.read_bytes()[:-20]), "jsonl.gz"),
    "typed column altered": Attack("column_mismatch", lambda s: edit_column(s, raw=False), "parquet"),
    "typed column and log altered": Attack("altered", lambda s: edit_column(s, raw=True), "parquet"),
    "parquet truncated": Attack("damaged", lambda s: s.file.write_bytes(s.file.read_bytes()[:-100]), "parquet"),
    # --- file and manifest
    "record altered, forged": Attack("bad_signature", edit_record_and_digest),
    "record altered, forged, in gzip": Attack("bad_signature", edit_record_and_digest, "jsonl.gz"),
    "record altered, forged, in Parquet": Attack("bad_signature", edit_record_and_digest, "parquet"),
    "record added, forged": Attack("bad_signature", lambda s: s.forge([*s.records, log("f", s.start + DAY / 2)])),
    "record removed, forged": Attack("bad_signature", lambda s: s.forge(s.records[1:])),
    "day emptied, forged": Attack("bad_signature", lambda s: s.forge([])),
    "forged, signature removed": Attack("unsigned", lambda s: (edit_record_and_digest(s), remove(s.signature))),
    "forged, signed with another key": Attack("unknown_key", lambda s: s.forge(altered(s.records), STRANGER)),
    "forged, signed with another key under the name of the right one": Attack(
        "bad_signature", lambda s: s.forge(altered(s.records), STRANGER, signing_key=KEY.decode())
    ),
    "forged, no key is named": Attack("bad_signature", lambda s: s.forge(altered(s.records), signing_key=None)),
    # --- the manifest
    **{
        f"manifest edited: {name}": Attack("bad_signature", lambda s, old=old, new=new: s.edit(old, new))
        for name, old, new in (
            ("window", b'"end": "2026-02-27T00', b'"end": "2026-02-26T12'),
            ("settle", b'"settle_seconds": 60.0', b'"settle_seconds": 3600.0'),
            ("time of the read", b'"started_at": "2026-03-02', b'"started_at": "2026-03-03'),
            ("count", b'"count": 1', b'"count": 2'),
            ("filter", b'"filter": null', b'"filter": {}'),
            ("timestamp field", b'"logged_at"', b'"created_at"'),
            ("connection", b'"secoda_default"', b'"secoda_other"'),
            ("host", b"https://api.secoda.co", b"https://api.secoda.cc"),
            ("DAG", b'"dag_id": "audit"', b'"dag_id": "other"'),
            ("try", b'"try_number": 1', b'"try_number": 2'),
            ("terminal escapes", b'"dag_id": "audit"', b'"dag_id": "' + EVIL + b'"'),
            ("name with NUL", b'"dag_id": "audit"', b'"dag_id": "\\u0000"'),
            ("another key of the auditor", KEY, SECOND_KEY),
            ("a blank", b'"query": {', b'"query":  {'),
        )
    },
    "id of the key in upper case": Attack("unknown_key", lambda s: s.edit(KEY, KEY.upper())),
    "id of the key is a number": Attack("unknown_key", lambda s: s.edit(b'"%s"' % KEY, b"1")),
    "id of the key with hostile characters": Attack("unknown_key", lambda s: s.edit(KEY, EVIL)),
    "name twice in the manifest": Attack(
        "manifest_invalid", lambda s: s.edit(b'"query": {', b'"query": {"start": ""},\n  "query": {')
    ),
    "records twice in the manifest": Attack(
        "manifest_invalid", lambda s: s.edit(b'"query": {', b'"records": [],\n  "query": {')
    ),
    "manifest with a byte order mark": Attack("manifest_invalid", lambda s: s.edit(b"{", b"\xef\xbb\xbf{")),
    "manifest with the line breaks of Windows": Attack(
        "manifest_invalid", lambda s: s.manifest.write_bytes(s.manifest.read_bytes().replace(b"\n", b"\r\n"))
    ),
    "manifest with bytes after its end": Attack(
        "manifest_invalid", lambda s: s.manifest.write_bytes(s.manifest.read_bytes() + b"\n")
    ),
    "manifest written again as other JSON": Attack("manifest_invalid", reformat),
    "manifest nested deeply": Attack(
        "manifest_invalid", lambda s: s.edit(b'"filter": null', b'"filter": ' + b"[" * 999)
    ),
    "manifest truncated": Attack("manifest_invalid", lambda s: s.manifest.write_bytes(s.manifest.read_bytes()[:-60])),
    "manifest of a later version": Attack("manifest_invalid", lambda s: s.edit(b'version": 1', b'version": 2')),
    "digest of a record edited": Attack(
        "bad_signature", lambda s: s.manifest.write_bytes(s.manifest.read_bytes().replace(b'", "', b'", "0', 1))
    ),
    # --- the signature
    "signature removed": Attack("unsigned", lambda s: remove(s.signature)),
    "signature emptied": Attack("unsigned", lambda s: s.signature.write_bytes(b"")),
    "signature of another day": Attack("bad_signature", lambda s: shutil.copy(s.of(number=4).signature, s.signature)),
    "signature is a link to that of another day": Attack(
        "bad_signature", lambda s: link(s.signature, s.of(number=4).signature)
    ),
    "signature with a byte after its end": Attack(
        "bad_signature", lambda s: s.signature.write_bytes(s.signature.read_bytes() + b"\n")
    ),
    "signature truncated": Attack("bad_signature", lambda s: s.signature.write_bytes(s.signature.read_bytes()[:-1])),
    "signature as text": Attack(
        "bad_signature", lambda s: s.signature.write_bytes(base64.b64encode(s.signature.read_bytes()))
    ),
    "signature by another key": Attack(
        "bad_signature", lambda s: s.signature.write_bytes(STRANGER.sign(s.manifest.read_bytes()))
    ),
    # --- days
    "day removed with manifest and signature": Attack("gap", lambda s: remove(*s.three)),
    "first day removed": Attack("gap", lambda s: remove(*s.of(number=1).three)),
    "last day removed": Attack("gap", lambda s: remove(*s.of(number=DAYS).three)),
    "file removed": Attack("file_missing", lambda s: remove(s.file)),
    "manifest removed": Attack("manifest_missing", lambda s: remove(s.manifest)),
    "manifest and signature removed": Attack("manifest_missing", lambda s: remove(s.manifest, s.signature)),
    "file and manifest removed": Attack("file_missing", lambda s: remove(s.file, s.manifest)),
    "two days swapped with manifests and signatures": Attack("wrong_manifest", lambda s: swap(s, 3)),
    "day renamed": Attack("wrong_manifest", lambda s: s.rename(s.file.with_name("2026-03-01.jsonl"))),
    "file renamed": Attack("file_missing", lambda s: s.rename(s.file.with_name("2026-03-01.jsonl"), 1)),
    "day renamed to upper case": Attack("wrong_manifest", lambda s: s.rename(s.file.with_suffix(".JSONL"))),
    "day with another suffix of its format": Attack(
        "wrong_manifest", lambda s: s.rename(s.file.with_suffix(".ndjson"))
    ),
    "day in another format": Attack("wrong_manifest", other_format),
    "day twice, in another folder": Attack("overlap", lambda s: copy_three(s, s.root / "more")),
    "day of another connection, validly signed": Attack("gap", other_series),
    "file without a manifest added": Attack(
        "manifest_missing", lambda s: s.file.with_name("2026-03-01.jsonl").write_bytes(b"{}\n")
    ),
    "file added without a signature": Attack("unsigned", extra_file),
    "file added, signed with another key": Attack("unknown_key", lambda s: extra_file(s, STRANGER)),
    # --- supplements
    "supplement altered": Attack("altered", lambda s: (x := s.supplement(1)).set_lines(altered(x.records))),
    "supplement altered, forged": Attack("bad_signature", lambda s: edit_record_and_digest(s.supplement(2))),
    "supplement without a signature": Attack("unsigned", lambda s: remove(s.supplement(2).signature)),
    "supplement removed from the middle": Attack("predecessor_missing", lambda s: remove(*s.supplement(1).three)),
    "supplement replayed as the next one": Attack(
        "wrong_manifest", lambda s: copy_supplement(s.supplement(2), s.supplement(3))
    ),
    "supplement of another day": Attack("wrong_manifest", lambda s: copy_supplement(s.supplement(1), s.of(late=1))),
    "supplements swapped with manifests and signatures": Attack(
        "wrong_manifest", lambda s: swap(s.supplement(1), 3, s.supplement(2))
    ),
    "supplement follows another manifest": Attack(
        "bad_signature", lambda s: s.supplement(2).edit(b'_sha256": "', b'_sha256": "0')
    ),
    "first file removed, supplements left": Attack("gap", lambda s: remove(*s.supplement(0).three)),
    "file with supplements replaced by an older one": Attack("predecessor_changed", older_first_file),
    "window edited to be outside of the span": Attack(
        "gap", lambda s: s.manifest.write_bytes(s.manifest.read_bytes().replace(b': "2026-02-2', b': "2025-02-2'))
    ),
}


# --- what only a chain of reports shows ------------------------------------------------------------------------------

REPORTS = 3


def build_chain(root: Path, *, written_again_after: int = 0) -> None:
    """Write a store and three signed reports.

    :param written_again_after: how many reports there are when the third day is written again, with a late log
    """
    build_small(root, ("jsonl",))
    store = Store(root)
    for number in range(REPORTS + 1):
        if number > 0:
            result = verify([str(root / "jsonl")], public_keys=PUBLIC_KEYS)
            write_report(result, str(report(root, number).with_suffix(".html")), command="", signer=SIGNER)
        if number == written_again_after:
            copy_three(store, root / "old")
            write_signed(store.file, store.start, [*store.records, log("late", store.start + DAY / 2)])


def report(root: Path, number: int = REPORTS) -> Path:
    """Return the path of the JSON file of a report."""
    return root / "reports" / f"report-{number}.json"


def report_files(root: Path, number: int) -> tuple[Path, Path, Path]:
    path = report(root, number)
    return path, path.with_suffix(".html"), path.with_suffix(".json.sig")


def edit_report(root: Path, number: int, **members) -> None:
    path = report(root, number)
    path.write_bytes(json.dumps(json.loads(path.read_bytes()) | members).encode())


def roll_back(store: Store) -> None:
    """Put the third day back as it was before it was written again, with its manifest and its valid signature."""
    for path in store.three:
        shutil.copy(store.root / "old" / path.relative_to(store.file.parent), path)


def forge_report(store: Store, signer=None) -> None:
    """Remove a day, and write the last report again without it; the earlier reports are as they were."""
    remove(*store.of(number=DAYS).three, *report_files(store.root, REPORTS))
    result = verify([str(store.root / "jsonl")])
    write_report(result, str(report(store.root).with_suffix(".html")), command="", signer=signer)


def replay_report(store: Store) -> None:
    """Write the first report, with its valid signature, under the name of the last one."""
    for old, new in zip(report_files(store.root, 1), report_files(store.root, REPORTS), strict=True):
        shutil.copy(old, new)


CHAIN_ATTACKS: dict[str, Attack] = {
    "day rolled back to an older, validly signed state": Attack("replaced", roll_back),
    "day replaced, signed with another key": Attack("replaced", lambda s: s.forge(altered(s.records), STRANGER)),
    "first day removed": Attack("file_removed", lambda s: remove(*s.of(number=1).three)),
    "last day removed": Attack("file_removed", lambda s: remove(*s.of(number=DAYS).three)),
    "manifest of a day removed": Attack("file_removed", lambda s: remove(s.manifest)),
    "last supplement removed": Attack("file_removed", lambda s: remove(*s.supplement(2).three)),
    "all days removed": Attack("file_removed", lambda s: shutil.rmtree(s.root / "jsonl")),
    "report removed from the middle": Attack("report_missing", lambda s: remove(*report_files(s.root, 2))),
    "first report removed": Attack("report_missing", lambda s: remove(*report_files(s.root, 1))),
    "report altered": Attack("report_altered", lambda s: edit_report(s.root, 2, errors=["none"])),
    "last report altered": Attack("bad_signature", lambda s: edit_report(s.root, REPORTS, covers=[])),
    "report without the one before": Attack("report_invalid", lambda s: edit_report(s.root, REPORTS, previous=None)),
    "signature of the last report removed": Attack("unsigned", lambda s: remove(report_files(s.root, REPORTS)[2])),
    "HTML page of a report altered": Attack(
        "report_altered", lambda s: report_files(s.root, 2)[1].write_text("<p>No findings.</p>")
    ),
    "HTML page of a report removed": Attack("report_altered", lambda s: remove(report_files(s.root, 2)[1])),
    "last report forged": Attack("unsigned", forge_report),
    "last report forged, signed with another key": Attack("unknown_key", lambda s: forge_report(s, STRANGER)),
    "first report replayed as the last": Attack("forked", replay_report),
}
