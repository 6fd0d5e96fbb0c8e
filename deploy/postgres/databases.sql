-- Run once, when the volume is empty; `mlflow` is made by POSTGRES_DB.
CREATE DATABASE mlflow_users;
CREATE DATABASE optuna;
