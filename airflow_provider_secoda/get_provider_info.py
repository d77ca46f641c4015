"""What Airflow reads of this provider at every start: literals, no imports."""

__version__ = "0.1.0"


def get_provider_info():  # type: ignore[no-untyped-def]  # noqa: ANN201 - an annotation would need an import
    """Return the provider's metadata, in the shape of Airflow's ``provider.yaml.schema.json``."""
    asset_uri = {
        "schemes": ["secoda"],
        "handler": "airflow_provider_secoda.assets.secoda.sanitize_uri",
        "factory": "airflow_provider_secoda.assets.secoda.create_asset",
        "to_openlineage_converter": "airflow_provider_secoda.assets.secoda.convert_asset_to_openlineage",
    }
    return {
        "package-name": "airflow-provider-secoda",
        "name": "Secoda",
        "description": "Audit logs and version histories of the data catalog `Secoda <https://www.secoda.co/>`__",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Secoda",
                "external-doc-url": "https://docs.secoda.co/api/reference/audit-logs",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {
                "integration-name": "Secoda",
                "python-modules": ["airflow_provider_secoda.hooks.secoda", "airflow_provider_secoda.hooks.signing_key"],
            }
        ],
        "operators": [{"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.operators.secoda"]}],
        "sensors": [{"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.sensors.secoda"]}],
        "triggers": [{"integration-name": "Secoda", "python-modules": ["airflow_provider_secoda.triggers.secoda"]}],
        "extra-links": [
            "airflow_provider_secoda.links.secoda.SecodaOutputLink",
            "airflow_provider_secoda.links.secoda.SecodaReportLink",
            "airflow_provider_secoda.links.secoda.SecodaResourceLink",
        ],
        "asset-uris": [asset_uri],
        "dataset-uris": [asset_uri],  # the name in Airflow 2.11; goes when that does
        "connection-types": [
            {
                "connection-type": "secoda",
                "hook-class-name": "airflow_provider_secoda.hooks.secoda.SecodaHook",
                "hook-name": "Secoda",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "API key", "host": "Base URL (self-hosted only)"},
                    "placeholders": {
                        "host": "https://secoda.example.com",
                        # Not hidden only because Airflow 3.3.1 and 3.3.2 can test no saved connection without one
                        # (apache/airflow#73298).
                        "port": "443 (to test it, Airflow 3.3 needs a port)",
                        "password": "made by a workspace admin, in Secoda under Settings, API",
                    },
                },
                "conn-fields": {
                    "region": {
                        "label": "Region",
                        "description": "Where the workspace lives: us (also when left empty), eu, apac or on_premise",
                        "schema": {"type": ["string", "null"], "enum": ["us", "eu", "apac", "on_premise"]},
                    },
                    "customer_domain": {
                        "label": "Customer domain",
                        "description": "On premise: the name before .secoda.co, such as acme",
                        "schema": {"type": ["string", "null"], "maxLength": 63},
                    },
                    "resource_url": {
                        "label": "Link to a resource",
                        "description": "Address of a resource's page as your browser shows it, with {resource_id} in "
                        "place of its id; may begin with {app}, the web app's own address. Sensors then link to it",
                        "schema": {"type": ["string", "null"]},
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
                    "workspace": {
                        "label": "Workspace",
                        "description": "A name of your choice, if one host serves several workspaces. It is used in "
                        "assets",
                        "schema": {"type": ["string", "null"]},
                    },
                    "max_body_bytes": {
                        "label": "Largest response",
                        "description": "In bytes, as it is sent (32 MiB when left empty)",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_decompressed_bytes": {
                        "label": "Largest decompressed response",
                        "description": "In bytes (64 MiB when left empty)",
                        "schema": {"type": ["integer", "null"], "minimum": 1},
                    },
                    "max_nesting": {
                        "label": "Deepest JSON",
                        "description": "Levels of nesting in a response (200 when left empty), up to 500",
                        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 500},
                    },
                    "max_answer_seconds": {
                        "label": "Longest response",
                        "description": "Seconds that one response may take in total (600 when left empty, or the "
                        "timeout if that is longer)",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "signing_conn_id": {
                        "label": "Signing connection",
                        "description": "Id of a connection of type Secoda signing key, with which manifests are signed "
                        "(not signed when left empty)",
                        "schema": {"type": ["string", "null"]},
                    },
                    "proxy": {
                        "label": "Proxy",
                        "description": "URL of an HTTP proxy for all requests; may contain a user and a password",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                },
            },
            {
                "connection-type": "secoda_signing_key",
                "hook-class-name": "airflow_provider_secoda.hooks.signing_key.SecodaSigningKeyHook",
                "hook-name": "Secoda signing key",
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "login", "schema", "extra"],
                    "relabeling": {"password": "Private key (PEM)"},
                    "placeholders": {
                        "password": "paste the file; it is complete also if the line breaks are lost",
                        "port": "443 (to test it, Airflow 3.3 needs a port)",
                    },
                },
                "conn-fields": {},
            },
        ],
    }
