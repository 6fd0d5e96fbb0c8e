"""Starts MLflow's server with users: runs, registry and users in PostgreSQL, artifacts handed through.

    python server.py --artifacts-destination /artifacts --host 0.0.0.0 --port 5000 ...

Options go to `mlflow server` as they are. What is secret, and where the databases `mlflow` and `mlflow_users` are, comes
from the environment (`NEEDED`), as `ps` shows options to everybody.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

NEEDED = (
    "POSTGRES_ADDRESS",  # host:port
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "MLFLOW_ADMIN_USERNAME",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
)
READERS = "MLFLOW_READERS"  # "name=password,name=password": who may read all and change nothing
USERS = """[mlflow]
default_permission = READ
database_uri = {database}
admin_username = {name}
admin_password = {password}
auth_cache_ttl_seconds = 60
"""
# Without the cache each request costs 0.1 s of CPU time, as the password's hash is meant to be slow.


def main(options: list[str]) -> None:
    """Becomes the server.

    Raises:
        SystemExit: 1 when a variable is missing, naming it.
    """
    if "--help" in options:
        print(f"usage: python server.py OPTIONS-OF-MLFLOW-SERVER ...\n\n{__doc__}", end="")
        return
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        sys.exit(f"error: set {', '.join(missing)} (deploy/example.env)")
    handle, name = tempfile.mkstemp(prefix="users-", suffix=".ini")  # readable to this user only
    os.close(handle)
    Path(name).write_text(users(os.environ), encoding="utf-8")
    os.environ.update(
        MLFLOW_AUTH_CONFIG_PATH=name,
        MLFLOW_BACKEND_STORE_URI=database(os.environ, "mlflow"),
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    )
    make_readers(os.environ)
    command = ["-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts", *options]
    os.execv(sys.executable, [sys.executable, *command])


def make_readers(environment: Mapping[str, str]) -> None:
    """Users without rights of their own, who have `default_permission`; one that is there gets the password that is given.

    Raises:
        SystemExit: 1 when the variable has another form.
    """
    readers = [pair.partition("=") for pair in filter(None, environment.get(READERS, "").split(","))]
    if not all(name and password for name, _, password in readers):
        sys.exit(f"error: {READERS} must hold name=password pairs with commas between them")
    if not readers:
        return
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database(environment, "mlflow_users"))
    for name, _, password in readers:
        if store.has_user(name):
            store.update_user(name, password=password)
        else:
            store.create_user(name, password)
    store.engine.dispose()


def database(environment: Mapping[str, str], name: str) -> str:
    """The SQLAlchemy URL of a database."""
    user, password = (quote(environment[key], safe="") for key in ("POSTGRES_USER", "POSTGRES_PASSWORD"))
    return f"postgresql+psycopg://{user}:{password}@{environment['POSTGRES_ADDRESS']}/{name}"


def users(environment: Mapping[str, str]) -> str:
    """The ini file of MLflow's users; a % stands for itself."""
    settings = USERS.format(
        database=database(environment, "mlflow_users"),
        name=environment["MLFLOW_ADMIN_USERNAME"],
        password=environment["MLFLOW_ADMIN_PASSWORD"],
    )
    return settings.replace("%", "%%")


if __name__ == "__main__":
    main(sys.argv[1:])
