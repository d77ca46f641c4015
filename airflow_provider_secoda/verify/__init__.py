"""Check output files against their manifests: ``python -m airflow_provider_secoda.verify PATH_OR_PREFIX...``.

In Python: ``verify(["s3://conn@bucket/secoda"]).exit_code``. Exit codes: 0 no findings, 1 findings, 2 something could
not be checked, or there was nothing to check.

With ``--json`` the command prints::

    {
      "status": "ok" | "failed" | "incomplete",       for exit_code 0, 1, 2
      "exit_code": 0,
      "checked_at": "2026-11-23T11:10:02Z",
      "provider_version": "0.4.0",
      "paths": ["..."],                               as given
      "start": iso | null, "end": iso | null,         the span that each series has to cover
      "against_source": false,
      "public_keys": ["id"] | null,                   with which manifests must be signed; null: not checked
      "totals": {"files": 3, "series": 1, "records": 870, "findings": 0, "notes": 0, "other_files": 0},
      "errors": ["..."],                              what could not be checked, and why
      "changes": {"report": 11, "counts": {...}, "findings": [...]} | null,     with --report: since the last report
      "series": [{
        "connection_id": "...", "base_url": "...", "timestamp_field": "...", "filter": {...} | null, "format": "...",
        "dag_id": "..." | null,                       if the windows of several DAGs overlap
        "start": iso | null, "end": iso | null, "windows": 3, "records": 870, "counts": {...}, "findings": [...]
      }],
      "files": [{
        "path": "...", "format": "...", "series": 0 | null,         index in "series"
        "window": {"start": iso, "end": iso} | null,
        "records": 290, "bytes": 335528 | null, "sha256": "..." | null,        as found; null: the file is missing
        "manifest": {"sha256": "...", "file_sha256": "..." | null, "count": 290 | null} | null,
        "supplement": 1 | null,                                     number of a file with logs that arrived late
        "signing_key": "id" | null,                                 by which the manifest's signature was verified
        "compared_with_source": false, "error": "..." | null, "counts": {"altered": 1}, "findings": [...]
      }]
    }

``counts`` has the number of all findings of each kind, ``findings`` the first of each kind: ``{"kind", "text",
"position", "id", "timestamp", "created_at", "other_path"}``, of which all except the first two may be null. Kinds:

===================  ==================================================================================================
manifest_missing     the file has no manifest
file_missing         the manifest has no file
manifest_invalid     the manifest is truncated, malformed, or of an unknown version
wrong_manifest       the manifest is for another file
inconsistent         the manifest contradicts itself or the file: it was altered
predecessor_missing  a supplement follows a file that is missing, or that has no manifest
predecessor_changed  a supplement follows another manifest of the file before it: one of the two was replaced
unsigned             public keys were passed, but the manifest (or the report) has no signature
bad_signature        the signature is not one of the manifest's bytes by the key that the manifest names
unknown_key          the manifest names a key that is not one of the public keys
early                the window was read before it ended, or before it had settled
checksum             size or sha256 of the file are not the recorded ones
reencoded            sha256 of the file is not the recorded one, but all its records are the listed ones
damaged              the file cannot be read to its end
altered              a record has other bytes than the manifest lists
removed              a listed record is not in the file; ``position`` is its position in the manifest. Of a damaged
                     file: one finding for all records that cannot be read, without ``position``
added                a record is not listed in the manifest
moved                the order of the records differs from the manifest, from ``position`` on
column_mismatch      a typed column of a Parquet file differs from the original log in its column ``raw``
invalid_record       a record is not a JSON object with an id
no_timestamp         a record has no usable timestamp
outside_window       the timestamp of a record is outside the window
out_of_order         a record comes after a later one
duplicate            an id is in the file twice
in_two_files         an id is in two files of the series; ``other_path`` is the first
gap, overlap         between windows of a series, from ``timestamp`` on
inside_window        the requested start or end is inside a window
outside_span         (a note) there are windows outside the requested span, whose files were not checked
late                 the API returns a log that is not in the files of the window
supplemented         (a note) such a log was added in a supplement, by :class:`.SecodaVerifyOperator`
changed              the API returns a log with other content
expired              (a note) the API does not return a log any more
report_missing       (of ``--chain`` or ``--report``, like the following) a report that a later one names is not there
report_altered       the report is not the one that a later one names, or its HTML file is missing or another one
report_invalid       the report is truncated, malformed, contradicts itself, or is of an unknown version
forked               a report is not named by any later one of the chain
file_removed         a file that a report covers, or its manifest, is not there any more
replaced             the manifest of a file is not the one that a report covers: the window was written again
rolled_back          the same, and it is one that an earlier report covers: an older state was put back
===================  ==================================================================================================

``--report NAME.html`` writes the same as ``NAME.json``, without ``series`` and ``files`` on many lines, and with::

    {
      "report_version": 1,
      "sequence": 12,                                 its number, from 1
      "previous": {"name": "...", "sequence": 11, "sha256": "..."} | null,    the JSON file of the report before it
      "signing_key": "id" | null,                     signs this file, in NAME.json.sig
      "html": {"name": "NAME.html", "sha256": "..."},
      "command": "...",                               repeats the check
      "versions": {"airflow_provider_secoda": "...", "python": "..."},
      ...,
      "stores": ["..."],                              the folders that were checked
      "covers": [{"store": 0, "path": "2026-03-01.jsonl", "start": iso, "end": iso, "manifest_sha256": "..."}],
      ...
    }

With ``--chain`` and ``--json`` the command prints ``status``, ``exit_code``, ``checked_at``, ``provider_version``,
``public_keys`` and ``errors`` as above, and::

    {
      "report": "...",                                the last report, as given
      "totals": {"reports": 12, "files": 365, "findings": 0},
      "counts": {...}, "findings": [...],             of the files; "other_path" is the file
      "reports": [{"name": "...", "sequence": 12, "sha256": "...", "checked_at": "...", "covers": 365,
                   "signing_key": "id" | null, "counts": {...}, "findings": [...]}]         from the last to the first
    }
"""

from airflow_provider_secoda.verify._result import Result
from airflow_provider_secoda.verify._verify import verify

__all__ = ["Result", "verify"]
