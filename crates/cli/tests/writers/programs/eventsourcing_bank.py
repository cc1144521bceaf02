"""Appends events by the library eventsourcing: `prepare URL` makes the tables of an application, `write URL` saves its
aggregates until the standard input ends, and prints what was acknowledged. By every second process of a user, which are
numbered by WRITER, the library inserts by a function of the database; that leaves out the lock by which its transactions
otherwise commit in the order of their positions.
"""

import json
import os
import random
import sys
import threading
import time
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, PersistenceError

ACCOUNTS = 40

# A trigger of the user's own, run when a transaction of either kind commits: it takes its time, or rolls back.
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(CASE WHEN random() < 0.03 THEN 1 ELSE random() * 0.012 END);
    IF random() < 0.1 THEN
        RAISE EXCEPTION 'rolled back';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON bank_events DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.originator_version % 3 = 0) EXECUTE FUNCTION slow();
"""


class Account(Aggregate):
    """An account whose id follows from its number."""

    @event("Opened")
    def __init__(self, number: int) -> None:
        self.number = number
        self.cents = 0

    @staticmethod
    def create_id(number: int) -> UUID:
        return uuid5(NAMESPACE_URL, f"/accounts/{number}")

    @event("Paid")
    def pay(self, cents: int) -> None:
        self.cents += cents


class Bank(Application):
    """The application, whose events are in the table bank_events."""

    def account(self, number: int) -> Account:
        try:
            return self.repository.get(Account.create_id(number))
        except AggregateNotFoundError:
            return Account(number)

    def save_some(self) -> list[tuple[str, int]]:
        """Saves several accounts with new events in one transaction."""
        accounts = [self.account(n) for n in random.sample(range(ACCOUNTS), random.randint(1, 3))]
        for account in accounts:
            for _ in range(random.randint(1, 3)):
                account.pay(random.randrange(100))
        recorded = self.save(*accounts)
        return [(str(r.domain_event.originator_id), r.domain_event.originator_version) for r in recorded]


def settings(url: str, create: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path[1:],
        "POSTGRES_HOST": parts.hostname or "",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": "",
        "POSTGRES_POOL_SIZE": "4",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if int(os.environ.get("WRITER", "0")) % 2 else "no",
        "CREATE_TABLE": create,
    }


def prepare(url: str) -> None:
    Bank(env=settings(url, "yes")).close()
    with psycopg.connect(url) as connection:
        connection.execute(SLOW)


def write(url: str) -> None:
    bank, ended, printing = Bank(env=settings(url, "no")), threading.Event(), threading.Lock()
    failures: list[BaseException] = []

    def loop() -> None:
        try:
            while not ended.is_set():
                try:
                    saved = bank.save_some()
                except PersistenceError as error:
                    # Somebody else has saved the same version, or the trigger has rolled back.
                    if not (isinstance(error, IntegrityError) or "rolled back" in str(error)):
                        raise
                    saved = []
                with printing:
                    for stream, version in saved:
                        print(json.dumps({"stream": stream, "version": version}))
                time.sleep(random.random() * 0.012)
        except BaseException as error:
            failures.append(error)
            ended.set()

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    # The library's threads would keep a process alive that waits for its standard input only.
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    for thread in threads:
        thread.join()
    bank.close()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    {"prepare": prepare, "write": write}[sys.argv[1]](sys.argv[2])
