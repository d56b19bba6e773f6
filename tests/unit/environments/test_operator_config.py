from __future__ import annotations

from pathlib import Path

from headway.environments.operator_config import OperatorConfig, pip_files, read_operator_config


def read(environ: dict[str, str], *files: Path) -> OperatorConfig:
    return read_operator_config(environ, files=files)


def test_secrets_of_the_server_do_not_reach_a_builder() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/h",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HEADWAY_DATA": "d",
        "VIRTUAL_ENV": "v",
        "HTTPS_PROXY": "p",
    }
    assert read(environ).variables == {"PATH": "/bin", "HOME": "/h", "HTTPS_PROXY": "p"}


def test_settings_of_uv_pass_but_for_what_is_ours_to_say() -> None:
    environ = {"UV_DEFAULT_INDEX": "i", "UV_CACHE_DIR": "c", "UV_PROJECT_ENVIRONMENT": "e"}
    assert read(environ).variables == {"UV_DEFAULT_INDEX": "i"}


def test_pip_files_are_translated_later_ones_and_variables_winning(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    machine, user, broken = tmp_path / "machine", tmp_path / "user", tmp_path / "broken"
    machine.write_text(f"[global]\nindex-url = https://a/simple\ncert = /c.pem\nfind-links =\n  {wheels}\n  /nowhere\n")
    user.write_text("[install]\nindex_url = https://b/simple\nextra-index-url = https://c/simple\n")
    broken.write_text("this is no ini file\n")
    got = read({}, machine, user, broken, tmp_path / "absent")
    assert got.variables == {"UV_DEFAULT_INDEX": "https://b/simple", "SSL_CERT_FILE": "/c.pem"}
    assert got.find_links == (str(wheels),)
    assert got.ignores_extra_index
    assert not got.no_index
    got = read({"PIP_INDEX_URL": "https://d/simple", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "https://w/x"}, machine)
    assert got.variables["UV_DEFAULT_INDEX"] == "https://d/simple"
    assert got.no_index
    assert got.find_links == ("https://w/x",)


def test_what_the_operator_set_for_uv_wins_over_pip(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://a/simple\nextra-index-url = https://c/simple\n")
    got = read({"UV_INDEX_URL": "https://u", "UV_INDEX": "https://v"}, file)
    assert got.variables == {"UV_INDEX_URL": "https://u", "UV_INDEX": "https://v"}
    assert not got.ignores_extra_index


def test_only_files_of_machine_and_user_are_read() -> None:
    names = [str(path) for path in pip_files({"HOME": "/h", "PIP_CONFIG_FILE": "/named"})]
    assert names == ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", "/h/.pip/pip.conf", "/h/.config/pip/pip.conf", "/named"]
    assert pip_files({"PIP_CONFIG_FILE": "/dev/null"}) == ()
