"""Check output files by their manifests: ``python -m airflow_provider_secoda.verify PATH_OR_PREFIX...``.

In Python: ``verify(["s3://conn@bucket/secoda"]).exit_code``.
"""

from airflow_provider_secoda.verify._check import verify
from airflow_provider_secoda.verify._result import Result

__all__ = ["Result", "verify"]
