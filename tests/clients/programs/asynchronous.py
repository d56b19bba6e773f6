"""Asynchronous logging and system metrics, as MLflow 2.13 and later have them."""

import time

import mlflow

mlflow.set_experiment("asynchronous")
mlflow.set_system_metrics_sampling_interval(0.3)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run(log_system_metrics=True):
    for step in range(500):
        mlflow.log_metric("loss", step, step=step, synchronous=False)
    mlflow.log_params({f"p{n}": n for n in range(100)}, synchronous=False)
    mlflow.flush_async_logging()
    time.sleep(1.5)
