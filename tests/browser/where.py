"""XPaths of elements on Airflow's pages, by their visible text."""

from __future__ import annotations

DIALOG = "//*[@role='dialog']"


def button(text: str) -> str:
    """Return the XPath of the button, link or tab with this name."""
    return f"//*[self::button or self::a][normalize-space()='{text}' or @aria-label='{text}']"


def field(label: str) -> str:
    """Return the XPath of the field after a label in a dialog."""
    return f"({DIALOG}//*[normalize-space(text())='{label}']/following::*[self::input or self::textarea])[1]"
