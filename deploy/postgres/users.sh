#!/bin/sh
# Run once, when the volume is empty: a database for each purpose, and a user for each who needs one.
#   mlflow   owns runs, registry and MLflow's users
#   optuna   owns the studies
#   serving  reads runs and registry, for a server or an ingest that asks the database itself
# The superuser POSTGRES_USER belongs to no service.
set -eu
psql -v ON_ERROR_STOP=1 -v mlflow="$MLFLOW_DATABASE_PASSWORD" -v optuna="$OPTUNA_DATABASE_PASSWORD" \
  -v serving="$SERVING_DATABASE_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'END'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE optuna LOGIN PASSWORD :'optuna';
CREATE ROLE serving LOGIN PASSWORD :'serving';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_users OWNER mlflow;
CREATE DATABASE optuna OWNER optuna;
REVOKE ALL ON DATABASE mlflow, mlflow_users, optuna FROM PUBLIC;
GRANT CONNECT ON DATABASE mlflow TO serving;
\connect mlflow
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO mlflow;
GRANT USAGE ON SCHEMA public TO serving;
ALTER DEFAULT PRIVILEGES FOR ROLE mlflow IN SCHEMA public GRANT SELECT ON TABLES TO serving;
END
