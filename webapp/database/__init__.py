"""Connections, transactions and migrations: all that knows `databases` and the engine by name.

The rest of the program writes portable SQL with named binds and sees rows as plain mappings.
"""

from webapp.database.batch import Batch
from webapp.database.database import AccountDatabase, Database
from webapp.database.engine import MOST_IN_A_BATCH, Done, Write
from webapp.database.rows import DuplicateKey, Row, Values
from webapp.database.sqlite import PLACE, inspect
from webapp.database.transaction import AccountTransaction, Transaction

__all__ = [
    "MOST_IN_A_BATCH",
    "PLACE",
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
    "inspect",
]
