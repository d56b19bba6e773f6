"""Cut the flights into earlier months to learn from and later ones to predict."""

from pathlib import Path

import numpy as np
import pandas as pd

from features import CATEGORIES, FEATURES, read_flights

LAST_MONTH_TO_LEARN_FROM = 9


def save(path: Path, flights: pd.DataFrame, columns: list[str]) -> None:
    """Write columns as arrays: text as text, so that reading it runs nothing."""
    texts = {*CATEGORIES, "flight_id"}
    np.savez(path, **{name: flights[name].to_numpy(dtype="U" if name in texts else None) for name in columns})


def main() -> None:
    flights = read_flights()
    is_early = flights["month"] <= LAST_MONTH_TO_LEARN_FROM
    build = Path("build")
    build.mkdir(exist_ok=True)
    save(build / "train.npz", flights[is_early], [*FEATURES, "day", "late"])
    # No answers in here: training cannot learn what it will be judged by.
    save(build / "later.npz", flights[~is_early], [*FEATURES, "flight_id"])
    print(f"{is_early.sum():,} flights to learn from, {(~is_early).sum():,} to predict")


if __name__ == "__main__":
    main()
