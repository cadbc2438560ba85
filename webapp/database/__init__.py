"""Connections, transactions and migrations: all that knows `databases` and the engine by name.

The rest of the program writes portable SQL with named binds and sees rows as plain mappings.
"""

from webapp.database.batch import Batch
from webapp.database.database import AccountDatabase, Database
from webapp.database.engine import MOST_IN_A_BATCH, Done, Write
from webapp.database.kinds import inspect, is_postgresql
from webapp.database.rows import DuplicateKey, Row, Values
from webapp.database.transaction import AccountTransaction, Transaction
from webapp.database.writer import Writer

__all__ = [
    "MOST_IN_A_BATCH",
    "AccountDatabase",
    "AccountTransaction",
    "Batch",
    "Database",
    "Done",
    "DuplicateKey",
    "Row",
    "Transaction",
    "Values",
    "Write",
    "Writer",
    "inspect",
    "is_postgresql",
]
