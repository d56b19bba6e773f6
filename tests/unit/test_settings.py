from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from headway.errors import UsageError
from headway.settings import Settings
from headway.worker_child import worker_environment


def test_without_any_variable_the_defaults_hold():
    assert Settings.from_environment({}) == Settings()


def test_every_field_is_read_from_its_variable():
    texts = {"int": "17", "Path": "/srv/headway", "str": "word"}
    given = {f"HEADWAY_{each.name.upper()}": texts[each.type] for each in fields(Settings)}
    read = Settings.from_environment(given)
    for each in fields(Settings):
        assert str(getattr(read, each.name)) == texts[each.type]


def test_an_empty_variable_is_none():
    assert Settings.from_environment({"HEADWAY_PORT": "", "HEADWAY_DATA": ""}) == Settings()


def test_the_home_folder_is_found():
    assert Settings.from_environment({"HEADWAY_DATA": "~/data"}).data == Path.home() / "data"


@pytest.mark.parametrize("text", ["ten", "1.5", "0x10", "1 2"])
def test_a_number_that_is_none_names_the_variable(text):
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({"HEADWAY_PORT": text})
    assert "HEADWAY_PORT" in caught.value.message
    assert text in caught.value.message
    assert caught.value.exit_code == 2


def test_the_database_is_sqlite_in_the_data_directory_unless_another_is_named():
    assert Settings(data=Path("/srv/x")).database_url == "sqlite:////srv/x/headway.db"
    assert Settings(database="postgresql+psycopg://h/d").database_url == "postgresql+psycopg://h/d"


def test_settings_do_not_change_while_the_server_runs():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1


def test_the_worker_reads_exactly_what_the_server_was_given():
    given = Settings(data=Path("/srv/x"), port=0, isolation=2, public_url="https://headway.example", slots=7)
    assert Settings.from_environment(worker_environment(given)) == given
