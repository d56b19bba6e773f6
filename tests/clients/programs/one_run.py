"""Several processes log into one run: the first makes it, the others find it by MLFLOW_RUN_ID."""

import os
import subprocess
import sys

import mlflow

if len(sys.argv) > 1:
    with mlflow.start_run():  # MLFLOW_RUN_ID names it
        for step in range(40):
            mlflow.log_metric(f"rank{sys.argv[1]}", step, step=step)
    sys.exit()
mlflow.set_experiment("one run")
run = mlflow.MlflowClient().create_run(mlflow.get_experiment_by_name("one run").experiment_id, run_name="shared")
environment = {**os.environ, "MLFLOW_RUN_ID": run.info.run_id}
ranks = [subprocess.Popen([sys.executable, __file__, str(rank)], env=environment) for rank in range(3)]
assert [each.wait() for each in ranks] == [0, 0, 0]
