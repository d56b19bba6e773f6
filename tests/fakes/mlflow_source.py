"""What a source of the import's tests holds: odd numbers, nested and deleted runs, data sets and a model that loads."""

from __future__ import annotations

from typing import Any


def fill(mlflow: Any) -> dict[str, Any]:
    """Log through the unmodified client; return ids by what they are."""
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    client = mlflow.MlflowClient()
    mlflow.set_experiment("Größen 日本")
    with mlflow.start_run(run_name="pärent") as parent:
        for step, value in enumerate((float("nan"), float("inf"), float("-inf"), 0.25)):
            mlflow.log_metric("loss/train", value, step=step)
        mlflow.log_params({"lr": "0.1", "text": "π≈3\nline"})
        mlflow.set_tag("note", "日本 <b>")
        mlflow.log_text("hi", "ordner/ä b.txt")
        with mlflow.start_run(nested=True) as child:
            data = mlflow.data.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), name="ds")
            mlflow.log_input(data, context="training")
            client.log_batch(
                child.info.run_id,
                metrics=[
                    mlflow.entities.Metric("many", step / 7, 1_700_000_000_000 + step, step) for step in range(900)
                ],
            )
    with mlflow.start_run() as made:
        model = LinearRegression().fit(np.array([[1.0], [2.0], [3.0]]), [2.0, 4.0, 6.0])
        mlflow.sklearn.log_model(model, name="model", registered_model_name="twice")
    client.set_registered_model_alias("twice", "champion", 1)
    client.set_model_version_tag("twice", "1", "checked", "yes")
    logged = client.get_run(made.info.run_id).outputs.model_outputs[0].model_id
    for _ in range(2):
        mlflow.register_model(f"models:/{logged}", "twice")
    client.delete_model_version("twice", "2")
    with mlflow.start_run() as doomed:
        mlflow.log_metric("m", 1)
    client.delete_run(doomed.info.run_id)
    gone = client.create_experiment("gone")
    client.create_run(gone)
    client.delete_experiment(gone)
    return {
        "parent": parent.info.run_id,
        "child": child.info.run_id,
        "made": made.info.run_id,
        "doomed": doomed.info.run_id,
    }
