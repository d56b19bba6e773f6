"""Where an environment's Python really lives."""

from __future__ import annotations

from pathlib import Path

from headway.sandbox.interpreter import interpreter_folders


def make_python(prefix: Path) -> Path:
    (prefix / "bin").mkdir(parents=True)
    program = prefix / "bin" / "python3.12"
    program.write_text("")
    (prefix / "bin" / "python3").symlink_to("python3.12")
    return program


def make_env(folder: Path, target: Path | str, home: Path | None = None) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(target)
    if home:
        (folder / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.12\n")
    return folder


def test_the_installation_behind_a_link_is_found(tmp_path: Path) -> None:
    program = make_python(tmp_path / "versions" / "3.12.1")
    env = make_env(tmp_path / "env", program, program.parent)
    assert interpreter_folders(env) == (tmp_path / "versions" / "3.12.1",)


def test_every_hop_of_a_chain_is_visible(tmp_path: Path) -> None:
    program = make_python(tmp_path / "cpython-3.12.1")
    (tmp_path / "cpython-3.12").symlink_to("cpython-3.12.1")
    env = make_env(tmp_path / "env", tmp_path / "cpython-3.12" / "bin" / program.name)
    assert set(interpreter_folders(env)) == {tmp_path / "cpython-3.12", tmp_path / "cpython-3.12.1"}


def test_links_within_the_environment_need_nothing(tmp_path: Path) -> None:
    program = make_python(tmp_path / "env")
    (tmp_path / "env" / "bin" / "python").symlink_to(program.name)
    assert interpreter_folders(tmp_path / "env") == ()


def test_the_systems_python_needs_nothing(tmp_path: Path) -> None:
    assert interpreter_folders(make_env(tmp_path / "env", "/usr/bin/env", Path("/usr/bin"))) == ()


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").symlink_to("python3")
    (tmp_path / "env" / "bin" / "python3").symlink_to("python")
    assert interpreter_folders(tmp_path / "env") == ()


def test_no_environment_needs_nothing(tmp_path: Path) -> None:
    assert interpreter_folders(tmp_path / "gone") == ()
    assert interpreter_folders(Path("/usr")) == ()
