from __future__ import annotations

from headway.planning.noise import Noise, noise_of


def test_the_widest_spread_comes_first_and_equal_numbers_are_no_noise() -> None:
    runs = [
        {"auc": 0.81, "loss": 0.4, "n": 10.0},
        {"auc": 0.82, "loss": 0.5, "n": 10.0},
        {"auc": 0.815, "loss": 0.45, "n": 10.0},
    ]
    assert noise_of(runs) == (
        Noise(metric="loss", runs=3, low=0.4, high=0.5),
        Noise(metric="auc", runs=3, low=0.81, high=0.82),
    )
    assert round(noise_of(runs)[0].spread, 6) == 0.1


def test_one_run_has_no_noise() -> None:
    assert noise_of([]) == ()
    assert noise_of([{"auc": 0.8}]) == ()


def test_what_is_missing_or_no_number_has_no_size() -> None:
    assert noise_of([{"a": float("nan"), "b": 1.0}, {"a": 0.5}]) == ()
    assert noise_of([{"a": float("inf")}, {"a": 0.5}]) == ()
