"""scikit-learn's autologging with a grid search, and a model that is registered, aliased and loaded back."""

import warnings

warnings.filterwarnings("ignore")
import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

mlflow.set_experiment("sklearn")
X, y = load_iris(return_X_y=True)
mlflow.sklearn.autolog(max_tuning_runs=3)
with mlflow.start_run(run_name="grid"):
    GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1.0, 10.0]}, cv=3).fit(X, y)
mlflow.sklearn.autolog(disable=True)
model = LogisticRegression(max_iter=300).fit(X, y)
with mlflow.start_run(run_name="registered"):
    mlflow.sklearn.log_model(
        model,
        "model",
        registered_model_name="iris",
        signature=infer_signature(X, model.predict(X)),
        input_example=X[:2],
    )
client = mlflow.MlflowClient()
(version,) = client.search_model_versions("name = 'iris'")
client.set_registered_model_alias("iris", "champion", version.version)
client.set_model_version_tag("iris", version.version, "checked", "yes")
loaded = mlflow.pyfunc.load_model("models:/iris@champion")
assert np.array_equal(loaded.predict(X), model.predict(X))
assert np.array_equal(mlflow.sklearn.load_model(f"models:/iris/{version.version}").predict(X), model.predict(X))
