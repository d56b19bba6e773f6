"""Numbers for people: fixed decimals, a real minus sign, durations, money; never an exponent."""

from __future__ import annotations

import math
from datetime import datetime

NONE = "\u2013"
"""What stands where there is no number."""

_MINUS = "\u2212"
_MOST_DECIMALS = 10


def decimals(*values: float | None) -> int:
    """How many decimals numbers in one row need, so that they and their difference can be told apart."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite or all(value == round(value) and abs(value) < 1e9 for value in finite):
        return 0
    largest = max(map(abs, finite))
    if largest >= 1000:
        base = 1
    elif largest >= 10:
        base = 2
    else:
        base = max(3, math.ceil(-math.log10(largest)) + 2)
    gap = max(finite) - min(finite)
    if 0 < gap < 10**-base:
        base = math.ceil(-math.log10(gap) - 1e-6)
    return min(base, _MOST_DECIMALS)


def number(value: float | None, places: int | None = None) -> str:
    """A value with fixed decimals; NaN and infinity are named, not hidden."""
    if value is None:
        return NONE
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else f"{_MINUS}infinite"
    if abs(value) >= 1e15:
        return _huge(value)
    return _signed_zero(f"{value:,.{decimals(value) if places is None else places}f}").replace("-", _MINUS)


def _huge(value: float) -> str:
    power = int(math.log10(abs(value)))
    return f"{value / 10**power:.2f} \u00d7 10^{power}".replace("-", _MINUS)


def delta(value: float | None, places: int | None = None) -> str:
    """A change with its sign; no change is 0."""
    if value is None or not math.isfinite(value):
        return NONE if value is None else number(value)
    text = number(abs(value), places)
    if not any(each in "123456789" for each in text):
        return "0"
    return f"{'+' if value > 0 else _MINUS}{text}"


def visible(value: float, places: int) -> str:
    """A size at the given decimals, or at as many as it takes to be more than nothing."""
    text = number(value, places)
    return text if value == 0 or any(each in "123456789" for each in text) else number(value)


def _signed_zero(text: str) -> str:
    return text.removeprefix("-") if not any(each in "123456789" for each in text) else text


def duration(seconds: float | None) -> str:
    """6 min 12 s."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{round(minutes / 1440)} days"


def about(seconds: float) -> str:
    """A duration that is only an estimate: about 4 min."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h".replace(".0 h", " h")


def money(amount: float, currency: str) -> str:
    """About $0.38; what is less than a hundredth is said so."""
    if not math.isfinite(amount):
        return NONE
    if 0 < amount < 0.01:
        return f"under {currency}0.01"
    return f"about {currency}{amount:,.2f}"


def percent(share: float | None) -> str:
    """A share of one as per cent: 0.02 %."""
    if share is None or not math.isfinite(share):
        return NONE
    value = share * 100
    return f"{value:.2f}".rstrip("0").rstrip(".") + " %"


def milliseconds(value: float | None) -> str:
    """24 ms."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def clock(at: datetime) -> str:
    """16:41 UTC."""
    return f"{at:%H:%M} UTC"


def count(amount: int, one: str, many: str = "") -> str:
    """1 file, 2 files."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"
