"""Where things stand on Airflow's pages, by what a person reads there."""

from __future__ import annotations

DIALOG = "//*[@role='dialog']"


def button(text: str) -> str:
    """Return where the button, link or tab of this name is."""
    return f"//*[self::button or self::a][normalize-space()='{text}' or @aria-label='{text}']"


def field(label: str) -> str:
    """Return where the field is that stands beside a label in a dialog."""
    return f"({DIALOG}//*[normalize-space(text())='{label}']/following::*[self::input or self::textarea])[1]"
