"""What Airflow reads of this provider at every start: one literal, no imports."""

__version__ = "0.1.0"


def get_provider_info():  # type: ignore[no-untyped-def]  # noqa: ANN201 - an annotation would need an import
    """Return the provider's metadata, in the shape of Airflow's ``provider.yaml.schema.json``."""
    return {
        "package-name": "airflow-provider-secoda",
        "name": "Secoda",
        "description": "`Secoda <https://www.secoda.co/>`__ data catalog: audit logs and version histories.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Secoda",
                "external-doc-url": "https://docs.secoda.co/api/reference/audit-logs",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.hooks.secoda"]},
        ],
        "operators": [
            {"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.operators.secoda"]},
        ],
        "sensors": [
            {"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.sensors.secoda"]},
        ],
        "triggers": [
            {
                "integration-name": "Secoda",
                "python-modules": [
                    "airflow_provider_secoda.triggers.events",
                    "airflow_provider_secoda.triggers.secoda",
                ],
            },
        ],
        "connection-types": [
            {
                "connection-type": "secoda",
                "hook-class-name": "airflow_provider_secoda.hooks.secoda.SecodaHook",
                "hook-name": "Secoda",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "port", "schema"],
                    "relabeling": {"password": "API key", "host": "Base URL (self-hosted only)"},
                    "placeholders": {
                        "host": "https://secoda.example.com",
                        "password": "made by a workspace admin, in Secoda under Settings, API",
                    },
                },
                "conn-fields": {
                    "region": {
                        "label": "Region",
                        "description": "Where the workspace lives: us (also when left empty), eu, apac or on_premise",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["us", "eu", "apac", "on_premise"],
                        },
                    },
                    "customer_domain": {
                        "label": "Customer domain",
                        "description": "On premise: the name before .secoda.co, such as acme",
                        "schema": {"type": ["string", "null"], "maxLength": 63},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds to wait for a connection and for each answer (60 when left empty)",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "Empty or true: verify; the path of a CA bundle: verify with it; "
                        "false: do not verify",
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "URL of an HTTP proxy for all requests of this connection",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
