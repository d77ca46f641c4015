"""The connection form for Airflow before 3.2, where the hook creates it; later versions read the provider info."""

from __future__ import annotations

from typing import Any

from airflow_provider_secoda.get_provider_info import get_provider_info


class ConnectionForm:
    """The fields that the provider info describes, as the hook returns them."""

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields for Airflow before 3.2; later versions read them from the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # noqa: PLC0415
        from flask_babel import lazy_gettext  # noqa: PLC0415
        from wtforms import StringField  # noqa: PLC0415
        from wtforms.validators import Optional, any_of  # noqa: PLC0415

        widgets = {}
        for name, spec in _form()["conn-fields"].items():
            choices = spec["schema"].get("enum")
            widgets[name] = StringField(
                lazy_gettext(spec["label"]),
                widget=BS3TextFieldWidget(),
                description=spec["description"],
                validators=[Optional(), *([any_of(choices)] if choices else [])],
            )
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form shows the standard fields, for Airflow before 3.2."""
        behaviour = _form()["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }


def _form() -> dict[str, Any]:
    info: dict[str, Any] = get_provider_info()  # type: ignore[no-untyped-call]
    form: dict[str, Any] = info["connection-types"][0]
    return form
