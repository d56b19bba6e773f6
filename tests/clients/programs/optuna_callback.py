"""Optuna's MLflow callback: a nested run for each trial."""

import warnings

warnings.filterwarnings("ignore")
import os

import mlflow
import optuna
from optuna_integration.mlflow import MLflowCallback

callback = MLflowCallback(
    tracking_uri=os.environ["MLFLOW_TRACKING_URI"],
    metric_name="loss",
    create_experiment=False,
    mlflow_kwargs={"nested": True},
)
mlflow.set_experiment("optuna")
study = optuna.create_study(study_name="square", sampler=optuna.samplers.RandomSampler(seed=1))
with mlflow.start_run(run_name="study"):
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5, callbacks=[callback])
