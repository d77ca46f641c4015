"""A DAG whose tasks use Secoda in every way that is reported to OpenLineage; LINEAGE_FOLDER is the output folder."""

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Asset, BaseOperator

from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator, SecodaVerifyOperator
from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

FOLDER = os.environ["LINEAGE_FOLDER"]
END = datetime(2026, 2, 25, tzinfo=timezone.utc)
WINDOW = {"start": (END - timedelta(days=1)).isoformat(), "end": END.isoformat()}
LATER = {"start": "2026-03-05", "end": "2026-03-06"}


class Passing(BaseOperator):
    """An operator of which OpenLineage knows the inlets and outlets only."""

    def execute(self, context):
        pass


with DAG("lineage", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    to_file = SecodaAuditLogsOperator(
        task_id="to_file",
        output_path=FOLDER + "/day={start:%Y-%m-%d}/logs.jsonl",
        filter={"operator": "exact", "field": "performer_type", "value": "USER"},
        **WINDOW,
    )
    to_file >> SecodaVerifyOperator(
        task_id="verify", path=FOLDER, start=(END - timedelta(days=2)).isoformat(), end=END.isoformat()
    )
    SecodaAuditLogsOperator(task_id="to_bucket", output_path="s3://storage_conn@lineage/{start:%Y}/a.parquet", **WINDOW)
    SecodaAuditLogsOperator(task_id="to_return", timestamp_field="created_at", xcom_limit_bytes=10**8, **WINDOW)
    SecodaAuditLogsOperator(task_id="skipped", output_path=FOLDER + "/none.jsonl", skip_if_empty=True, **LATER)
    SecodaAuditLogsOperator(
        task_id="refused", secoda_conn_id="wrong_key", output_path=FOLDER + "/refused.jsonl", **WINDOW
    )
    SecodaVersionHistorySensor(
        task_id="wait",
        secoda_conn_id="{{ 'named_' ~ 'workspace' }}",
        resource_id=os.environ["LINEAGE_RESOURCE"],
        since="2020-01-01",
        poke_interval=1,
        timeout=5,
    )
    Passing(
        task_id="annotated",
        inlets=[Asset("secoda://EU.secoda.co/resource/50%25")],
        outlets=[Asset("secoda://secoda.example.com:8443/workspace/acme/audit_logs")],
    )
