"""Stored names, which outlive a release: users' databases, files, DAGs and dashboards contain them.

Each group has a version, 1 if none is given, which is raised with every change to its names.
``tests/test_persisted.py`` compares the groups with what the code writes. CONTRIBUTING.md says how to change a name.
"""

from __future__ import annotations

from typing import NamedTuple

#: Key of a waiting sensor's state in Airflow's task state store.
SENSOR_STATE_KEY = "secoda_wait"
#: Beginning of the key of an event trigger's cursor in the state store of an asset. A digest of the trigger's arguments
#: without ``poke_interval`` and ``lookback`` follows.
CURSOR_KEY_PREFIX = "airflow_provider_secoda.cursor."
#: Key of a result (a log, an entry of the sensor, the payload of an event) some of whose values Airflow cannot store: a
#: list of the JSON paths of the values that were replaced. Other results do not have it.
REPLACED_KEY = "_replaced"
#: Version of the manifest's layout and names. A reader rejects versions that it does not know.
MANIFEST_VERSION = 1
#: Version of the layout and names of the JSON file of a report. A reader rejects versions that it does not know.
REPORT_VERSION = 1


class Names(NamedTuple):
    """The names of one group.

    :param version: raised with every change
    :param names: sorted; ``a.b`` is key ``b`` of the object ``a``, ``a[].b`` of each object in the list ``a``
    """

    version: int
    names: tuple[str, ...]


def _names(names: str, version: int = 1) -> Names:
    return Names(version, tuple(names.split()))


#: Class path and arguments of each trigger: the metadata database contains those of deferred tasks and asset watchers.
TRIGGERS = {
    "airflow_provider_secoda.triggers.secoda.SecodaAuditLogEventTrigger": _names("""
        activity_types filter lookback performer_ids performer_types poke_interval resource_ids resource_types
        secoda_conn_id
        """),
    "airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryEventTrigger": _names(
        "lookback match poke_interval resource_id secoda_conn_id"
    ),
    "airflow_provider_secoda.triggers.secoda.SecodaVersionHistoryTrigger": _names("""
        consecutive_failures deadline end_task exponential_backoff first_poll_at last_error match
        max_consecutive_failures max_wait page_order poke_interval resource_id secoda_conn_id since since_from
        since_version_id started_at wait_for_resource
        """),
}

#: Methods by which deferred tasks continue, with the arguments that the metadata database contains.
DEFERRALS = _names("""
    SecodaAuditLogsOperator.execute_settled.deadline SecodaAuditLogsOperator.execute_settled.window.end
    SecodaAuditLogsOperator.execute_settled.window.start SecodaAuditLogsOperator.execute_settled.window.window_rule
    SecodaVersionHistorySensor.execute_complete.event.entries
    SecodaVersionHistorySensor.execute_complete.event.status
    """)

#: The page order of a resource's history, in a sensor's state and in trigger arguments.
PAGE_ORDER = _names("""
    body_digest count last_old_page logs_in_order new_since newest_first newest_times shown_by_versions total_pages
    """)

#: The value of :data:`SENSOR_STATE_KEY`.
SENSOR_STATE = _names("consecutive_failures last_error page_order retry_at try_number waiting_for")

#: The value of a key that begins with :data:`CURSOR_KEY_PREFIX`.
CURSOR = _names("delivered since")

#: XCom keys of links.
LINKS = _names("_link_SecodaOutputLink _link_SecodaReportLink _link_SecodaResourceLink")

#: What the operator returns with ``output_path``, which is also the ``extra`` of asset events.
SUMMARY = _names("""
    bytes count duplicates_dropped end first_timestamp format history_from last_timestamp manifest manifest_sha256
    max_lag_seconds pages path requests sha256 signature signing_key start timestamp_field untyped_values window_rule
    """)

#: What these have in addition with ``on_change="supplement"``.
SUMMARY_OF_WINDOW_FILES = _names("""
    altered_logs.count altered_logs.ids expired_logs.count expired_logs.ids late_logs paths written
    """)

#: What the ``extra`` of asset events has without ``output_path``.
SUMMARY_OF_RETURNED_LOGS = _names("""
    changed_logs count duplicates_dropped end first_timestamp history_from last_timestamp max_lag_seconds pages requests
    start timestamp_field window_rule
    """)

#: The key under which a verification that fails for its findings stores its summary.
SUMMARY_KEY = "summary"

#: What a verification returns, which is also the ``extra`` of asset events.
SUMMARY_OF_VERIFICATION = _names("""
    counts end files findings first_findings[].kind first_findings[].path first_findings[].text notes records report
    report_json_sha256 report_sha256 signature signing_key start status supplements
    """)

#: What the sensor returns for each entry. The payload of a version event has these and ``kind``.
ENTRY = _names("""
    activity_types changed_properties created_at definition_diff description_diff id latest_activity_logged_at
    performers[].id performers[].name performers[].type record resource_id updated_at
    """)

#: The payload of an audit log event.
AUDIT_LOG_PAYLOAD = _names("""
    activity_type created_at id kind logged_at performer.id performer.name performer.type record resource.id
    resource.name resource.type
    """)

#: Extras of a connection.
CONNECTION_EXTRAS = _names("""
    customer_domain integration_id max_answer_seconds max_body_bytes max_decompressed_bytes max_nesting proxy region
    resource_url signing_conn_id timeout verify workspace
    """)

#: Airflow's metrics.
METRICS = _names("secoda.findings secoda.lag secoda.logs secoda.pages secoda.requests secoda.retries secoda.throttles")

#: The manifest. Its version is also in the manifest.
MANIFEST = _names(
    """
    file.bytes file.count file.format file.name file.sha256 file.untyped_values listing.count listing.newest_timestamp
    listing.oldest_timestamp listing.sort listing.total_pages manifest_version query.end query.filter query.start
    query.timestamp_field query.window_rule read.duplicates_dropped read.finished_at read.first_timestamp
    read.last_timestamp read.max_lag_seconds read.order read.page_ranges[].first_page read.page_ranges[].last_page
    read.page_ranges[].listing_count read.page_ranges[].newest_timestamp read.page_ranges[].oldest_timestamp
    read.page_ranges[].sort read.pages read.requests read.reread_reasons read.rereads read.retries read.settle_seconds
    read.started_at read.throttled read.turns read.warnings run.dag_id run.logical_date run.map_index run.run_id
    run.task_id run.try_number signing_key source.base_url source.connection_id versions.airflow
    versions.airflow_provider_secoda versions.pyarrow versions.python
    """,
    MANIFEST_VERSION,
)

#: The member ``supplement`` of the manifest of a supplement.
SUPPLEMENT = _names("number of previous_manifest_sha256")

#: The output of ``python -m airflow_provider_secoda.verify --json``.
REPORT = _names("""
    against_source changes checked_at end errors exit_code files[].bytes files[].compared_with_source files[].counts
    files[].error files[].findings[].created_at files[].findings[].id files[].findings[].kind
    files[].findings[].other_path files[].findings[].position files[].findings[].text files[].findings[].timestamp
    files[].format files[].manifest.count files[].manifest.file_sha256 files[].manifest.sha256 files[].path
    files[].records files[].series files[].sha256 files[].signing_key files[].supplement files[].window.end
    files[].window.start paths provider_version public_keys series[].base_url series[].connection_id series[].counts
    series[].dag_id series[].end series[].filter series[].findings[].created_at series[].findings[].id
    series[].findings[].kind series[].findings[].other_path series[].findings[].position series[].findings[].text
    series[].findings[].timestamp series[].format series[].records series[].start series[].timestamp_field
    series[].windows start status totals.files totals.findings totals.notes totals.other_files totals.records
    totals.series
    """)

#: What the JSON file of a report has in addition. Its version is also in the file.
REPORT_FILE = _names(
    """
    changes.counts changes.findings changes.report command covers[].end covers[].manifest_sha256 covers[].path
    covers[].start covers[].store html.name html.sha256 previous.name previous.sequence previous.sha256
    report_version sequence signing_key stores versions.airflow_provider_secoda versions.python
    """,
    REPORT_VERSION,
)

#: The output of ``python -m airflow_provider_secoda.verify --chain --json``.
CHAIN = _names("""
    checked_at counts errors exit_code findings[].created_at findings[].id findings[].kind findings[].other_path
    findings[].position findings[].text findings[].timestamp provider_version public_keys report reports[].checked_at
    reports[].counts reports[].covers reports[].findings reports[].name reports[].sequence reports[].sha256
    reports[].signing_key status totals.files totals.findings totals.reports
    """)

#: Kinds of findings in that output.
FINDING_KINDS = _names("""
    added altered bad_signature changed checksum column_mismatch damaged duplicate early expired file_missing
    file_removed forked gap in_two_files inconsistent inside_window invalid_record late manifest_invalid
    manifest_missing moved no_timestamp out_of_order outside_span outside_window overlap predecessor_changed
    predecessor_missing reencoded removed replaced report_altered report_invalid report_missing rolled_back
    unknown_key unsigned wrong_manifest
    """)
