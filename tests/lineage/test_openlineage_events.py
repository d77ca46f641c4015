"""Events of OpenLineage's provider for a real run: START, COMPLETE and FAIL, with names, schemas, counts and window."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("airflow")
pytest.importorskip("airflow.providers.openlineage", reason="needs apache-airflow-providers-openlineage")
pytest.importorskip("pyarrow", reason="needs the extra parquet")

from airflow_provider_secoda.sandbox import Sandbox, Workspace
from tests.helpers import airflow_runs, s3_server, timestamps
from tests.helpers.key_search import Search

HERE = Path(__file__).parent
KEY, WRONG_KEY = "kZ7+q/Xw=R2pVn9-Tj4dLs", "Hm3/Yb8=cG6+uKf1.Ea5oQi"
UNTIL = datetime(2026, 3, 1, tzinfo=timezone.utc)
END = UNTIL - timedelta(days=4)
START = END - timedelta(days=1)


class Lineage:
    """The events and output files of one run of ``lineage_dags``."""

    def __init__(self, folder, sandbox):
        (file,) = folder.glob("events*")
        self.bytes = file.read_bytes()
        self.folder, self.sandbox = folder / "data", sandbox
        left = json.loads((folder / "ran.json").read_text())
        self.states, self.xcoms, self.log = left["tasks"], left["xcoms"], left["log"]
        self.events = defaultdict(dict)
        for line in self.bytes.splitlines():
            event = json.loads(line)
            assert event["eventType"] not in self.events[event["job"]["name"]], "one event of each type a task"
            self.events[event["job"]["name"]][event["eventType"]] = event

    def of(self, task, kind="COMPLETE"):
        return self.events[f"lineage.{task}"][kind]

    @property
    def namespace(self):
        return self.sandbox.url.replace("http://", "secoda://")


@pytest.fixture(scope="module")
def lineage(tmp_path_factory):
    """Run the DAG once, in a process of its own, against a sandbox and an S3 on loopback."""
    folder = tmp_path_factory.mktemp("lineage")
    store = s3_server.serve()
    store.bucket("lineage")
    workspace = Workspace.generate(seed=3, logs=1000, days=20, until=UNTIL)
    with Sandbox(workspace, api_key=KEY) as sandbox:
        secoda = json.loads(sandbox.connection_json)
        connections = {
            "SECODA_DEFAULT": secoda,
            "WRONG_KEY": secoda | {"password": WRONG_KEY},
            "NAMED_WORKSPACE": secoda | {"extra": {"workspace": "Data Team"}},
            "STORAGE_CONN": json.loads(store.connection()),
        }
        environment = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()} | {
            "LINEAGE_FOLDER": str(folder / "data"),
            "LINEAGE_RESOURCE": next(log["resource_id"] for log in workspace.logs if log["version_history_id"]),
        }
        ran = subprocess.run(
            [sys.executable, HERE / "lineage_runs.py", folder],
            input=json.dumps(environment),
            env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        yield Lineage(folder, sandbox)


def names(datasets):
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def fields(dataset):
    return [field["name"] for field in dataset["facets"]["schema"]["fields"]]


def test_the_tasks_end_as_expected(lineage):
    """Each task ends in the state for which events are expected."""
    states = {"refused": "failed", "skipped": "skipped", "verify": "failed"}
    assert lineage.states == dict.fromkeys(lineage.states, "success") | states, lineage.log


def test_the_input_is_the_audit_logs_and_the_output_the_file(lineage):
    """COMPLETE of a task that wrote a file has the audit logs as its only input, and the file as its only output."""
    start, complete = lineage.of("to_file", "START"), lineage.of("to_file")
    assert names(start["inputs"]) == names(complete["inputs"]) == [(lineage.namespace, "audit_logs")]
    assert start["outputs"] == []
    assert names(complete["outputs"]) == [("file", str(lineage.folder / "day=2026-02-24/logs.jsonl"))]


def test_an_object_has_no_connection_in_its_name(lineage):
    """An object is named by bucket and key, although its URL contains a connection."""
    assert names(lineage.of("to_bucket")["outputs"]) == [("s3://lineage", "2026/a.parquet")]


def test_the_counts_are_those_of_the_file(lineage):
    """Rows in and out, bytes and digest are those of the file."""
    (read,), (written,) = lineage.of("to_file")["inputs"], lineage.of("to_file")["outputs"]
    data = (lineage.folder / "day=2026-02-24/logs.jsonl").read_bytes()
    count = len(data.splitlines())
    assert count > 10
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == count
    metrics = read["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["columnMetrics"]["id"]["distinctCount"]) == (count, count)
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (count, len(data), 1)
    assert written["facets"]["version"]["datasetVersion"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


def compare(field, how, value):
    left, right = {"type": "field", "field": field}, {"type": "literal", "value": value}
    return {"type": "compare", "left": left, "comparison": how, "right": right}


@pytest.mark.parametrize(("task", "field"), [("to_file", "logged_at"), ("to_return", "created_at")])
def test_the_input_has_the_window(lineage, task, field):
    """The input has the part that was read: the half-open window, with the timestamp field of the task."""
    (read,) = lineage.of(task)["inputs"]
    assert read["inputFacets"]["subset"]["inputCondition"] == {
        "type": "binary",
        "operator": "AND",
        "left": compare(field, "GREATER_EQUAL_THAN", timestamps.write(START)),
        "right": compare(field, "LESS_THAN", timestamps.write(END)),
    }


def test_the_run_has_its_parameters(lineage):
    """The run's parameters contain the window, its rule, and the filter."""
    given = lineage.of("to_file")["run"]["facets"]["executionParameters"]["parameters"]
    found = {parameter["key"]: parameter["value"] for parameter in given}
    assert json.loads(found.pop("filter")) == {"operator": "exact", "field": "performer_type", "value": "USER"}
    assert found == {
        "start": timestamps.write(START),
        "end": timestamps.write(END),
        "window_rule": "start_end",
        "timestamp_field": "logged_at",
    }


def test_each_dataset_has_its_schema(lineage):
    """A JSONL file and the listing have the documented fields, a Parquet file has its columns."""
    (read,), (written,) = lineage.of("to_file")["inputs"], lineage.of("to_file")["outputs"]
    log = json.loads((lineage.folder / "day=2026-02-24/logs.jsonl").read_text().splitlines()[0])
    assert fields(read) == fields(written)
    assert set(fields(read)) == set(log)
    kinds = {field["name"]: field for field in read["facets"]["schema"]["fields"]}
    assert (kinds["is_legacy"]["type"], kinds["logged_at"]["type"]) == ("boolean", "string")
    (block,) = kinds["event_blocks"]["fields"]
    assert (kinds["event_blocks"]["type"], block["name"], block["type"]) == ("array", "_element", "struct")
    assert [field["name"] for field in block["fields"]] == ["type", "style", "value"]


def test_the_schema_of_a_parquet_file_is_its_own(lineage):
    """The schema of a Parquet file has the names and types of its columns."""
    from airflow_provider_secoda._storage.columns import SCHEMA

    (written,) = lineage.of("to_bucket")["outputs"]
    reported = written["facets"]["schema"]["fields"]
    assert [_as_arrow(field) for field in reported] == [str(field) for field in SCHEMA]
    types = {field["name"]: field["type"] for field in reported}
    assert types["logged_at"] == "timestamp[us, tz=UTC]"
    assert (types["raw"], types["performer_metadata"], types["event_blocks"]) == ("string", "struct", "array")


def _as_arrow(field):
    """Return a field of the facet as Arrow writes it, with the types of nested fields."""
    return f"pyarrow.Field<{field['name']}: {_arrow_type(field)}>"


def _arrow_type(field):
    inner = field.get("fields") or []
    if field["type"] == "struct":
        types = [f"{one['name']}: {_arrow_type(one)}" for one in inner]
        return f"struct<{', '.join(types)}>"
    if field["type"] == "array":
        return f"list<item: {_arrow_type(inner[0])}>"
    return field["type"]


def test_a_verification_has_the_files_with_assertions(lineage):
    """FAIL of a verification has the files and the folder as inputs, and each kind of finding is an assertion."""
    failed = lineage.of("verify", "FAIL")
    found = {
        dataset["name"]: {
            each["assertion"]: each["success"] for each in dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
        }
        for dataset in failed["inputs"]
    }
    file = str(lineage.folder / "day=2026-02-24/logs.jsonl")
    assert found == {file: {"verified": True}, str(lineage.folder): {"verified": False, "gap": False}}


def test_a_return_value_is_not_a_dataset(lineage):
    """A task without a file has the audit logs as input, counted, and no output."""
    complete = lineage.of("to_return")
    assert complete["outputs"] == []
    (read,) = complete["inputs"]
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == len(lineage.xcoms["to_return"])


def test_a_failed_task_has_no_counts_and_no_output(lineage):
    """FAIL has input and window, but no counts and no output."""
    failed = lineage.of("refused", "FAIL")
    assert (names(failed["inputs"]), failed["outputs"]) == ([(lineage.namespace, "audit_logs")], [])
    assert list(failed["inputs"][0]["inputFacets"]) == ["subset"]
    assert lineage.of("refused", "START")["outputs"] == []


@pytest.mark.skipif(airflow_runs.version() < (3, 3), reason="Airflow before 3.3 does not report skipped tasks")
def test_a_skipped_task_wrote_nothing(lineage):
    """A task that found no log and was skipped has no output."""
    assert lineage.of("skipped")["outputs"] == []
    assert list(lineage.of("skipped")["inputs"][0]["inputFacets"]) == ["subset"]


def test_the_input_of_a_sensor_is_its_resource(lineage):
    """The sensor's input is its resource, in the workspace that the connection names."""
    resource = lineage.xcoms["wait"][0]["resource_id"]
    expected = [(lineage.namespace, f"workspace/Data%20Team/resource/{resource}")]
    for kind in ("START", "COMPLETE"):
        assert (names(lineage.of("wait", kind)["inputs"]), lineage.of("wait", kind)["outputs"]) == (expected, [])


@pytest.mark.skipif(airflow_runs.version() < (3,), reason="the oldest OpenLineage provider leaves assets out")
def test_inlets_and_outlets_become_datasets(lineage):
    """Inlets and outlets of any operator have the same names as the datasets of the operator and the sensor."""
    complete = lineage.of("annotated")
    assert names(complete["inputs"]) == [("secoda://eapi.secoda.co", "resource/50%25")]
    assert names(complete["outputs"]) == [("secoda://secoda.example.com:8443", "workspace/acme/audit_logs")]


def test_facets_follow_the_standard(lineage):
    """Each facet of a dataset has the URL of its schema in OpenLineage's specification."""
    for task in ("to_file", "to_bucket"):
        complete = lineage.of(task)
        facets = [complete["run"]["facets"]["executionParameters"]]
        for dataset in complete["inputs"] + complete["outputs"]:
            for group in ("facets", "inputFacets", "outputFacets"):
                facets += dataset.get(group, {}).values()
        assert len(facets) == 9
        assert all(facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/") for facet in facets)


def test_no_event_contains_a_secret(lineage):
    """No event contains a key or a secret, in full, in part or encoded; only an error names a connection."""
    for secret in (KEY, WRONG_KEY):
        assert Search(secret).find(lineage.bytes) == []
    for secret in s3_server.SECRETS:
        assert secret.encode() not in lineage.bytes
    for conn_id in ("storage_conn", "named_workspace", "secoda_default"):
        assert conn_id.encode() not in lineage.bytes


def test_the_window_facet_equals_that_of_openlineages_class():
    """Facets that older clients have no class for are equal to those of the classes of newer clients."""
    theirs = pytest.importorskip("openlineage.client.generated.base_subset_dataset", reason="an older client")
    from openlineage.client.generated.execution_parameters_run import ExecutionParametersRunFacet
    from openlineage.client.serde import Serde

    from airflow_provider_secoda._lineage import facets

    ours = facets.InputSubset(facets._window({"timestamp_field": "logged_at", "start": "a", "end": "b"}))
    logged_at = theirs.FieldBaseCompareExpression("logged_at")
    begin = theirs.CompareSubsetCondition(logged_at, theirs.LiteralCompareExpression("a"), "GREATER_EQUAL_THAN")
    end = theirs.CompareSubsetCondition(logged_at, theirs.LiteralCompareExpression("b"), "LESS_THAN")
    expected = theirs.InputSubsetInputDatasetFacet(theirs.BinarySubsetCondition(begin, end, "AND"))
    assert Serde.to_dict(ours) == Serde.to_dict(expected)
    parameters = Serde.to_dict(facets.parameters({"start": "a"}))
    assert parameters["_schemaURL"] == ExecutionParametersRunFacet._get_schema()
    assert set(parameters["parameters"][0]) <= {"key", "name", "description", "value"}


def test_without_openlineage_there_is_no_lineage(monkeypatch):
    """Without OpenLineage's provider, the methods for lineage return nothing and do not fail."""
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator
    from airflow_provider_secoda.sensors.secoda import SecodaVersionHistorySensor

    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    operator = SecodaAuditLogsOperator(task_id="fetch")
    assert operator.get_openlineage_facets_on_start() is None
    assert operator.get_openlineage_facets_on_complete(None) is None
    sensor = SecodaVersionHistorySensor(task_id="wait", resource_id="x")
    assert sensor.get_openlineage_facets_on_start() is None


def test_a_task_whose_connection_cannot_be_used_has_no_lineage(monkeypatch):
    """If the connection could not be used, lineage does not read it again, and is empty."""
    from airflow.providers.common.compat.sdk import DAG, AirflowFailException

    from airflow_provider_secoda.client.errors import SecodaConfigurationError
    from airflow_provider_secoda.operators.secoda import SecodaAuditLogsOperator

    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT_KEY", '{"conn_type": "secoda"}')
    operator = SecodaAuditLogsOperator(task_id="fetch", secoda_conn_id="without_key", start=START, end=END)
    with DAG("d", schedule=None, start_date=UNTIL) as dag:
        dag.add_task(operator)
    with pytest.raises((AirflowFailException, SecodaConfigurationError), match="the API key is empty"):
        operator.execute({"dag": dag})
    assert operator.get_openlineage_facets_on_complete(None) is None
