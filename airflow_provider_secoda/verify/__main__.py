"""``python -m airflow_provider_secoda.verify``."""

import os
import sys

from airflow_provider_secoda.verify._cli import main

# Set before anything imports Airflow: its own log lines are of no use to a person who checks files.
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
sys.exit(main())
