from headway.tracking.names import random_name


def test_names_are_short_and_rarely_the_same() -> None:
    found = {random_name() for _ in range(300)}
    assert len(found) > 250
    assert all(len(name) <= 20 and name.count("-") == 2 for name in found)
