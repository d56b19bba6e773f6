"""Learn from January to September which flights will arrive more than 15 minutes late."""

import argparse
import os
from importlib.metadata import version

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from features import CATEGORIES, FEATURES


def load(path: str) -> pd.DataFrame:
    with np.load(path) as arrays:
        return pd.DataFrame({name: arrays[name] for name in arrays.files})


def make_encoder():
    # A code that training never saw counts as missing, and the trees know what to do with that.
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_column_transformer((ordinal, CATEGORIES), remainder="passthrough", verbose_feature_names_out=False)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--learning-rate", type=float, default=0.05)
    options.add_argument("--max-iter", type=int, default=100)
    options.add_argument("--threshold", type=float, default=0.25)
    options = options.parse_args()

    flights = load("build/train.npz")
    is_watched = flights["day"] % 10 == 0  # every tenth day shows during training how it goes
    learn, watch = flights[~is_watched], flights[is_watched]

    with mlflow.start_run():
        mlflow.log_params({**vars(options), "features": ",".join(FEATURES)})
        encoder = make_encoder().fit(learn[FEATURES])
        columns, watched = encoder.transform(learn[FEATURES]), encoder.transform(watch[FEATURES])
        model = HistGradientBoostingClassifier(
            learning_rate=options.learning_rate,
            categorical_features=list(range(len(CATEGORIES))),
            max_leaf_nodes=15,
            min_samples_leaf=200,
            early_stopping=False,
            warm_start=True,
            random_state=int(os.environ.get("HEADWAY_SEED", "0")),
        )
        for iterations in range(10, options.max_iter + 1, 10):
            model.set_params(max_iter=iterations).fit(columns, learn["late"])
            scores = model.predict_proba(watched)[:, 1]
            auc = roc_auc_score(watch["late"], scores)
            mlflow.log_metrics(
                {"watch_auc": auc, "watch_log_loss": log_loss(watch["late"], scores)}, step=iterations
            )
            print(f"{iterations:4d} iterations: AUC {auc:.4f} on the watched days", flush=True)

        pipeline = make_pipeline(encoder, model)
        later = load("build/later.npz")
        scores = pipeline.predict_proba(later[FEATURES])[:, 1]
        pd.DataFrame(
            {
                "flight_id": later["flight_id"],
                "score": scores.round(6),
                "prediction": (scores >= options.threshold).astype(int),
            }
        ).to_csv("build/predictions.csv", index=False)

        example = learn[FEATURES].head(3).astype({name: float for name in FEATURES if name not in CATEGORIES})
        mlflow.sklearn.log_model(
            pipeline,
            name="model",
            signature=mlflow.models.infer_signature(example, pipeline.predict_proba(example)),
            input_example=example,
            pyfunc_predict_fn="predict_proba",
            # A pickle, loaded by nobody but the scorer in its own process: skops does not know these trees.
            serialization_format="cloudpickle",
            # Named here, because finding them out would load the model once more in another process.
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow-skinny", "pandas", "scikit-learn")],
        )


if __name__ == "__main__":
    main()
