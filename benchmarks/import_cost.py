"""What a DAG file pays for importing this provider: time and modules on top of what every DAG file has loaded.

``python benchmarks/import_cost.py > benchmarks/import_cost.md``; ``--quick`` for a smoke run of some ten seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import Any

OURS = "airflow_provider_secoda"
#: What DAG files have loaded anyway.
AIRFLOW_3 = "from airflow.sdk import DAG, Asset, AssetWatcher, BaseHook, BaseOperator, BaseSensorOperator, task"
AIRFLOW_2 = (
    "from airflow.decorators import task; from airflow.hooks.base import BaseHook; "
    "from airflow.models.baseoperator import BaseOperator; from airflow.models.dag import DAG; "
    "from airflow.sensors.base import BaseSensorOperator"
)
#: What DAG files import of this provider, and so what the aim is for.
IN_DAG_FILES = {
    "operator": (f"{OURS}.operators.secoda",),
    "sensor": (f"{OURS}.sensors.secoda",),
    "operator and sensor": (f"{OURS}.operators.secoda", f"{OURS}.sensors.secoda"),
    "triggers": (f"{OURS}.triggers.secoda",),
    "assets": (f"{OURS}.assets.secoda",),
    "retry policy": (f"{OURS}.retries",),
    "hook": (f"{OURS}.hooks.secoda",),
}
ELSEWHERE = {
    "extra links": (f"{OURS}.links.secoda",),
    "`_compat`": (f"{OURS}._compat",),
    "`get_provider_info`": (f"{OURS}.get_provider_info",),
}
#: Airflow's own, and what they all begin with. Those that are not installed are left out.
AIRFLOWS = {
    "`BaseTrigger`, of all triggers": ("airflow.triggers.base",),
    "common-compat, of all providers": ("airflow.providers.common.compat.sdk",),
    "standard: `BashOperator`": ("airflow.providers.standard.operators.bash",),
    "standard: `FileSensor`": ("airflow.providers.standard.sensors.filesystem",),
    "standard: file triggers": ("airflow.providers.standard.triggers.file",),
    "http: `HttpOperator`": ("airflow.providers.http.operators.http",),
    "http: `HttpSensor`": ("airflow.providers.http.sensors.http",),
    "http: event trigger": ("airflow.providers.http.triggers.http",),
    "amazon: `S3KeySensor`": ("airflow.providers.amazon.aws.sensors.s3",),
    "amazon: `S3ToRedshiftOperator`": ("airflow.providers.amazon.aws.transfers.s3_to_redshift",),
    "amazon: SQS event trigger": ("airflow.providers.amazon.aws.triggers.sqs",),
}
ENTRIES = IN_DAG_FILES | ELSEWHERE | AIRFLOWS
AIM_MS = 30.0
#: Number of allocations after which Python's garbage collector has collected each of its three generations.
_GC_CYCLE = 70_000
#: Number of other packages to name.
_NAMED = 5


@dataclass(frozen=True)
class Cost:
    """What one entry added in every round; times in ms."""

    walls: list[float]
    busy: list[float]
    modules: list[str]

    @classmethod
    def of(cls, entry: str, rounds: list[dict[str, Any]]) -> Cost | None:
        """Return what an entry cost, or None where it is not installed."""
        found = [one["costs"][entry] for one in rounds]
        if None in found:
            return None
        return cls([one["wall"] for one in found], [one["busy"] for one in found], found[0]["modules"])

    def row(self, entry: str) -> list[str]:
        """Return its line of the table."""
        low, middle, high = statistics.quantiles(self.walls, n=4)
        roots = [module.partition(".")[0] for module in self.modules]
        standard = [root for root in roots if root in sys.stdlib_module_names]
        foreign = Counter(root for root in roots if root not in {*standard, "airflow", OURS}).most_common()
        named = [f"{root} {count}" for root, count in foreign[:_NAMED]]
        return [
            entry,
            f"{middle:.1f} ({low:.1f}-{high:.1f})",
            f"{statistics.median(self.busy):.1f}",
            f"{len(roots)}",
            f"{roots.count(OURS)} + {roots.count('airflow')} + {len(standard)}",
            ", ".join([*named, *(["…"] if len(foreign) > _NAMED else [])]) or "-",
        ]


def one_round() -> dict[str, Any]:
    """Load what every DAG file loads, then import each entry in a fork of this process, in random order.

    So does Airflow's DAG processor with each DAG file, every time.
    """
    before, start = len(sys.modules), time.perf_counter()
    exec(AIRFLOW_3 if find_spec("airflow.sdk") else AIRFLOW_2, {})
    base = {"wall": (time.perf_counter() - start) * 1000, "modules": len(sys.modules) - before}
    costs = {}
    for entry in random.sample(list(ENTRIES), len(ENTRIES)):
        ballast = random.randrange(_GC_CYCLE)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, json.dumps(_import(ENTRIES[entry], ballast)).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as answer:
            costs[entry] = json.loads(answer.read())
        os.waitpid(child, 0)
    return {"base": base, "costs": costs}


def _import(modules: tuple[str, ...], ballast: int) -> dict[str, Any] | None:
    """Import modules; return what that cost, or None where they are not installed.

    :param ballast: allocations that come before, so that no entry is always the one in which garbage is collected
    """
    [[] for _ in range(ballast)]
    loaded, start, busy = set(sys.modules), time.perf_counter(), time.process_time()
    try:
        for module in modules:
            import_module(module)
    except ModuleNotFoundError:
        return None
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    return {"wall": wall * 1000, "busy": busy * 1000, "modules": sorted(set(sys.modules) - loaded)}


def measure(number: int) -> list[dict[str, Any]]:
    """Run a number of rounds, each in a new interpreter, after one that fills the caches of Python and the disk."""
    found = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        environment = os.environ | {"AIRFLOW_HOME": folder, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(number + 1):
            done = subprocess.run(
                [sys.executable, __file__, "--one-round"], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr[-4000:])
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return found[1:]


def report(rounds: list[dict[str, Any]]) -> str:
    """Return the page."""
    from common import installed, table

    costs = {entry: cost for entry in ENTRIES if (cost := Cost.of(entry, rounds))}
    rows = [cost.row(f"**{entry}**" if entry in IN_DAG_FILES else entry) for entry, cost in costs.items()]
    head = ["", "added time, ms", "processor time, ms", "added modules", "ours + Airflow's + Python's", "others"]
    base = statistics.median(one["base"]["wall"] for one in rounds)
    most, entry = max((statistics.median(cost.busy), entry) for entry, cost in costs.items() if entry in IN_DAG_FILES)
    shown = ("apache-airflow", *(f"apache-airflow-providers-{name}" for name in ("standard", "http", "amazon")))
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{', '.join(f'{name} {version}' for name in shown if (version := installed(name)))}; "
        f"load average at the end {os.getloadavg()[0]:.1f}. {datetime.now(timezone.utc):%Y-%m-%d}."
    )
    over = (
        f"Over what DAG files have loaded anyway: `{AIRFLOW_3 if find_spec('airflow.sdk') else AIRFLOW_2}`, "
        f"which takes {base:.0f} ms and {rounds[0]['base']['modules']:,} modules. "
        f"Medians (and quartiles) of {len(rounds)} rounds."
    )
    verdict = (
        f"What DAG files import of this provider (bold) costs under {AIM_MS:.0f} ms of processor time: "
        f"{'yes' if most < AIM_MS else 'NO'}; the most is {most:.1f} ms ({entry})."
    )
    note = (
        "The added time is longer than the processor time where the machine has other work (see the load average); "
        "where it has none they are the same. Of what the triggers cost, `BaseTrigger` "
        "is most."
    )
    return "\n\n".join(("# What an import costs", machine, over, table(head, rows), verdict, note))


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--one-round", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_round:
        print(json.dumps(one_round()))
    else:
        print(report(measure(3 if arguments.quick else 15)))


if __name__ == "__main__":
    main()
