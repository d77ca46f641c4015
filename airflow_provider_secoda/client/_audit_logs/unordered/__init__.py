"""Read a listing whose order is not reliable: all pages, until it is proven that no log was missed.

The proof is counting. A log that was seen before a moment and again after it was in the listing at that moment. When as
many logs were seen both before and after one answer as its ``count``, they are the complete listing of the moment at
which the server counted, in any order of the pages and with any changes of the listing. The logs in that answer do not
matter: a server may count before or after it reads them. A log that one page shows twice counts twice.

The rest of this package decides in which order pages are read, and which answer is the moment, so that two passes over
the pages are usually enough while the listing changes.
"""

from airflow_provider_secoda.client._audit_logs.unordered.read import read_everything

__all__ = ["read_everything"]
