"""Airflow's own trigger runner (3.3), with a supervisor that keeps what it is sent instead of storing it in a database.

What a triggerer does to event triggers is Airflow's code: the shared streams, their acknowledgements, the state store's
accessors. The supervisor's half, which would need a database and a process of its own, is this module.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.execution_time import comms, task_runner
from airflow.sdk.execution_time.context import AssetStateStoreAccessors
from typing_extensions import Self


class Supervisor:
    """What outlives a trigger runner: the database's part."""

    def __init__(self) -> None:
        #: What was stored, as (trigger id, payload).
        self.stored: list[tuple[int, Any]] = []
        self.state: dict[tuple[str, str], Any] = {}
        self.writes = 0
        #: While set, the state store fails.
        self.broken = False

    def payloads(self, trigger_id: int) -> list[Any]:
        """Return the payloads of the events of one trigger."""
        return [payload for one, payload in self.stored if one == trigger_id]

    def ids(self, trigger_id: int) -> list[str]:
        """Return the ids of what one trigger fired for."""
        return [payload["id"] for payload in self.payloads(trigger_id)]

    def send(self, msg: Any) -> Any:
        """Answer a message of the Task SDK."""
        if isinstance(msg, comms.GetAssetStateStoreByName):
            if self.broken:
                raise OSError("the database is away")
            found = self.state.get((msg.name, msg.key))
            return None if found is None else comms.AssetStateStoreResult(value=found)
        if isinstance(msg, comms.SetAssetStateStoreByName):
            if self.broken:
                raise OSError("the database is away")
            self.writes += 1
            self.state[msg.name, msg.key] = msg.value
        return None

    async def asend(self, msg: Any) -> Any:
        """Answer a message of the Task SDK, after others had their turn."""
        await asyncio.sleep(0)
        return self.send(msg)


class Triggerer:
    """A running triggerer; leaving it is a crash: what it had not handed over yet is gone.

    :param persist: whether events are stored; when not, they stay with the runner
    """

    def __init__(self, supervisor: Supervisor, *, persist: bool = True, ack_timeout: float = 300.0) -> None:
        from airflow.jobs.triggerer_job_runner import TriggerRunner

        self.supervisor = supervisor
        self.persist = persist
        self.runner = TriggerRunner()
        self.runner._shared_streams._ack_timeout = ack_timeout

    async def __aenter__(self) -> Self:
        task_runner.SUPERVISOR_COMMS = self.supervisor
        self._sync = asyncio.create_task(self._sync_state())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._sync.cancel()
        tasks = [details["task"] for details in self.runner.triggers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(self._sync, *tasks, return_exceptions=True)
        await self.runner._shared_streams.stop_all()
        del task_runner.SUPERVISOR_COMMS
        self.runner.triggers.clear()
        gc.collect()

    def start(self, trigger_id: int, trigger: Any, *assets: str) -> asyncio.Task[None]:
        """Run a trigger as the triggerer does: created from its serialized arguments."""
        classpath, kwargs = trigger.serialize()
        fresh = self.runner.get_trigger_by_classpath(classpath)(**kwargs)
        fresh.trigger_id = trigger_id
        if assets:
            fresh.asset_state_store = AssetStateStoreAccessors(
                inlets=[Asset(name=name, uri=f"x://{name}") for name in assets]
            )
        self.runner.triggers[trigger_id] = {"task": None, "is_watcher": True, "name": f"ID {trigger_id}", "events": 0}
        task = asyncio.create_task(self.runner.run_trigger(trigger_id, fresh))
        self.runner.triggers[trigger_id]["task"] = task
        return task

    async def _sync_state(self) -> None:
        while True:
            await asyncio.sleep(0.02)
            confirmed = []
            while self.persist and self.runner.events:
                entry = self.runner.events.popleft()
                self.supervisor.stored.append((entry.trigger_id, entry.event.payload))
                if entry.persist_seq is not None:
                    confirmed.append(entry.persist_seq)
            if confirmed:
                await asyncio.sleep(0.02)
                self.runner._shared_streams.confirm_persisted(confirmed)


async def until(condition: Any, *, seconds: float = 10.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to this"
        await asyncio.sleep(0.01)
