"""``python -m airflow_provider_secoda.verify``."""

import os
import sys

from airflow_provider_secoda.verify._cli import main

# Before anything imports Airflow: what it has to say about itself is of no use to who checks files.
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
sys.exit(main())
