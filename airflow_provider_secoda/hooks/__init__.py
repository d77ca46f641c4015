"""From Airflow connections to the Secoda client."""
