"""What most trainings do: params, metrics, tags, files, nested runs, a resumed run, asynchronous logging, a table."""

import threading

import mlflow

assert mlflow.get_tracking_uri().startswith("http")
mlflow.set_experiment("basics")
with mlflow.start_run(run_name="parent", tags={"team": "nyc"}) as parent:
    mlflow.log_params({"depth": 3, "kind": "gbm"})
    for step in range(20):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"f1": 0.5, "auc": 0.75}, step=3)
    mlflow.set_tags({"a": "1", "b": "two words"})
    mlflow.log_dict({"depth": 3}, "config/config.json")
    mlflow.log_text("hello", "notes/readme.txt")
    mlflow.log_text("odd", "notes/ä b+c.txt")  # old clients and new ones encode it differently
    for number in range(3):
        with mlflow.start_run(run_name=f"child {number}", nested=True):
            mlflow.log_metric("score", number)
with open("plain.bin", "wb") as out:
    out.write(bytes(range(256)) * 1000)
with mlflow.start_run(run_id=parent.info.run_id):  # resumed
    mlflow.log_metric("loss", 0.01, step=20)
    mlflow.log_artifacts("folder", "data")
    mlflow.log_artifact("plain.bin")
client = mlflow.MlflowClient()
with mlflow.start_run(run_name="threads") as threads:

    def work(number):
        for step in range(50):
            client.log_metric(threads.info.run_id, f"thread{number}", step, step=step)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
found = mlflow.search_runs(experiment_names=["basics"], filter_string="params.depth = '3' and metrics.auc > 0.7")
assert list(found["run_id"]) == [parent.info.run_id], found
assert found["metrics.loss"][0] == 0.01 and found["tags.team"][0] == "nyc"
assert len(mlflow.search_runs(experiment_names=["basics"])) == 5
assert len(client.get_metric_history(parent.info.run_id, "loss")) == 21
assert sorted(each.path for each in client.list_artifacts(parent.info.run_id)) == [
    "config",
    "data",
    "notes",
    "plain.bin",
]
assert open(client.download_artifacts(parent.info.run_id, "data/sub/two.txt", ".")).read() == "two"
assert open(client.download_artifacts(parent.info.run_id, "notes/ä b+c.txt", "."), encoding="utf-8").read() == "odd"
