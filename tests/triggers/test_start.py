"""What happens in the event loop when triggers run for the first time: nothing that takes long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("airflow")

from airflow_provider_secoda._compat import event_trigger_base
from airflow_provider_secoda.sandbox import Workspace
from airflow_provider_secoda.triggers import secoda as triggers

#: Modules that may be imported in the event loop: the first imports nothing that takes long, a triggerer has the other.
LIGHT = {"airflow_provider_secoda._events.producer", "airflow.triggers.shared_stream"}
FIRST_RUN = """
    import asyncio, json, ssl, sys, threading
    import airflow.triggers.base
    import airflow.providers.common.compat.sdk as sdk
    sdk.BaseHook.get_connection("secoda_default")  # a triggerer has what this imports
    from airflow_provider_secoda.triggers import secoda

    loop_thread, found, events = threading.get_ident(), [], []

    def audit(event, arguments):
        if event == "import" and threading.get_ident() == loop_thread and recording:
            found.append(arguments[0])

    class Context(ssl.SSLContext):
        def __new__(cls, *arguments, **options):
            if threading.get_ident() == loop_thread:
                found.append("an SSL context")
            made.append(1)
            return super().__new__(cls, *arguments, **options)

    made, recording = [], False
    ssl.SSLContext = Context
    sys.addaudithook(audit)

    async def run(trigger):
        async for event in trigger.run():
            events.append(event)

    async def main():
        global recording
        trigger = getattr(secoda, {name!r})(**json.loads({arguments!r}))
        producer = getattr(type(trigger), "create_shared_stream_producer", None)
        recording = True
        if producer is not None:
            producer(trigger.serialize()[1])
        task = asyncio.create_task(run(trigger))
        for _ in range(600):
            await asyncio.sleep(0.05)
            if events or task.done():
                break
        recording = False
        task.cancel()
        print(json.dumps([sorted(found), len(events), len(made)]))

    asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["SecodaVersionHistoryTrigger", "SecodaVersionHistoryEventTrigger"])
def test_imports_and_ssl_contexts_are_not_made_in_the_event_loop(secoda_sandbox_factory, tmp_path, name):
    """The first run of a trigger imports HTTP libraries and reads certificates in a thread, up to its first event."""
    if "Event" in name and event_trigger_base().__name__ == "BaseTrigger":
        pytest.skip("Airflow 2 has no event triggers")
    sandbox = secoda_sandbox_factory(Workspace(seed=1))
    for _ in range(3):
        sandbox.workspace.add_version("r1")
    start = {"lookback": 3600.0, "poke_interval": 0.1} if "Event" in name else {"since": "2020-01-01T00:00:00Z"}
    arguments = getattr(triggers, name)(secoda_conn_id="secoda_default", resource_id="r1", **start).serialize()[1]
    code = textwrap.dedent(FIRST_RUN.format(name=name, arguments=json.dumps(arguments)))
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    found, events, contexts = json.loads(ran.stdout.splitlines()[-1])
    assert events > 0
    assert contexts > 0
    assert set(found) <= LIGHT
