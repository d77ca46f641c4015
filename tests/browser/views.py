"""Airflow's pages: connections, DAGs, runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.page import Page
from tests.browser.where import DIALOG, button, field

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

    from airflow_provider_secoda.sandbox import Sandbox

FORM_VIEW = (1200, 1300)
TASK_VIEW = (1200, 750)


class AirflowPage(Page):
    """One window on Airflow 3.3."""

    # --- connections -----------------------------------------------------------------------------------------

    def begin_connection(
        self, conn_id: str, sandbox: Sandbox | None = None, view: tuple[int, int] = FORM_VIEW, kind: str = "Secoda"
    ) -> None:
        """Open the form for a new connection of our type; fill in its id, and host and port of a sandbox.

        Without a port, Airflow 3.3.1 and 3.3.2 cannot test a saved connection (apache/airflow#73298).
        """
        self.open("/connections", view)
        self.click(button("Add Connection"))
        self.write(field("Connection ID"), conn_id)
        self.choose("Connection Type", kind)
        if sandbox is not None:
            host, _, port = sandbox.url.rpartition(":")
            self.fill_in(**{"Base_URL_(self-hosted_only)": host, "Port": port})

    def fill_in(self, **fields: str) -> None:
        """Fill in fields of the open form by label, with ``_`` for a space."""
        for label, text in fields.items():
            self.write(field(label.replace("_", " ")), text)

    def paste(self, label: str, text: str) -> None:
        """Insert text into a field of the open form as a paste does: a field of one line drops the line breaks."""
        self.click(field(label))
        self.driver.execute_cdp_cmd("Input.insertText", {"text": text})

    def choose(self, label: str, option: str) -> None:
        """Choose from a drop-down list of the open form."""
        self.click(field(label))
        self.write(field(label), option)
        self.click(f"//*[@role='option'][normalize-space()='{option}']")

    def unfold(self, part: str) -> None:
        """Show a part of the open form: ``Standard Fields``, ``Extra Fields``."""
        self.click(DIALOG + button(part))
        self.settle()

    def save(self) -> None:
        """Save the open form."""
        self.click(DIALOG + button("Save"))
        self.read("Connection has been successfully")
        self.until(lambda: not self.all(DIALOG), "the form is gone")

    def test(self, conn_id: str) -> str:
        """Press the button that tests a connection; return the message."""
        self.open("/connections")
        self.click(self.row(conn_id) + button("Test Connection"))
        return self.read("Test Connection ", "\n", within="//*[@role='status']")  # a title and a sentence

    def edit(self, conn_id: str) -> None:
        """Open the form of a saved connection."""
        self.open("/connections", FORM_VIEW)
        self.click(self.row(conn_id) + button("Edit Connection"))
        self.find(field("Connection ID"))

    def row(self, text: str) -> str:
        """Return the XPath of the table row with a cell with this text."""
        return f"//tr[.//td[normalize-space()='{text}']]"

    # --- DAGs and runs ---------------------------------------------------------------------------------------

    def trigger(self, dag_id: str) -> str:
        """Press the button that runs a DAG; return the path of the run's page, which is then open."""
        self.open(f"/dags/{dag_id}")
        self.click(button("Trigger"))
        self.read(f"Unpause {dag_id} on trigger", within=DIALOG)
        self.click(DIALOG + button("Trigger"))
        self.until(lambda: "/runs/" in self.driver.current_url, "the run's page")
        return str(self.driver.current_url).removeprefix(self.url).rstrip("/")

    def open_task(self, run: str, task_id: str, tab: str, view: tuple[int, int] = TASK_VIEW) -> None:
        """Show a tab of a task's page: ``""`` (its log), ``xcom``, ``details``, ``asset_events``.

        :param run: the path of the run's page
        """
        self.open(f"{run}/tasks/{task_id}/{tab}", view)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.open(f"/dags/{dag_id}")
        self.click("//*[@role='switch' or @type='checkbox']/ancestor::label")

    def link(self, text: str) -> WebElement:
        """Return the link with this text."""
        return self.find(f"//a[normalize-space()='{text}']")
