"""What Airflow reads of this provider at every start: one literal, no imports."""

__version__ = "0.1.0"


def get_provider_info():  # type: ignore[no-untyped-def]
    """Return the provider's metadata, in the shape of Airflow's ``provider_info.schema.json``."""
    return {"package-name": "airflow-provider-secoda", "name": "Secoda", "versions": [__version__]}
