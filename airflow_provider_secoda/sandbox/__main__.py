"""Run the sandbox from a shell: ``python -m airflow_provider_secoda.sandbox``."""

import sys

from airflow_provider_secoda.sandbox.cli import main

sys.exit(main())
