from __future__ import annotations

import pytest

from headway.environments.requirements import Source, from_specifiers, read_requirements
from headway.errors import UsageError


def read(text: str, **others: str) -> object:
    return read_requirements(
        {"requirements.txt": text.encode(), **{k: v.encode() for k, v in others.items()}}, "requirements.txt"
    )


def test_comments_blanks_and_continuations_go_and_hashes_are_kept_apart() -> None:
    got = read_requirements(
        {
            "requirements.txt": b"\xef\xbb\xbf# top\n\nsix==1.16.0 \\\n    --hash=sha256:aa \\\n"
            b"    --hash=sha256:bb  # why\n"
            b"pandas >= 2 ; python_version > '3.9'\n"
        },
        "requirements.txt",
    )
    assert [(line.text, line.name, line.hashes, line.where) for line in got.lines] == [
        ("six==1.16.0", "six", ("sha256:aa", "sha256:bb"), "requirements.txt:3"),
        ("pandas >= 2 ; python_version > '3.9'", "pandas", (), "requirements.txt:6"),
    ]
    assert got.is_hashed


@pytest.mark.parametrize(
    "line",
    [
        "-i http://evil/simple",
        "--index-url=http://evil",
        "--extra-index-url http://evil",
        "-f ./wheels",
        "--find-links=x",
        "--trusted-host evil",
        "--no-index",
    ],
)
def test_lines_that_choose_an_index_are_left_out_and_said(line: str) -> None:
    got = read_requirements({"r.txt": f"{line}\nsix\n".encode()}, "r.txt")
    assert [each.text for each in got.lines] == ["six"]
    assert got.ignored[0].startswith("r.txt:1: -")
    assert "operator chooses the index" in got.ignored[0]
    assert "evil" not in got.ignored[0]


def test_includes_and_constraints_are_followed_inside_the_project() -> None:
    files = {
        "req/train.txt": b"-r base.txt\n-c ../limits.txt\nsix\n",
        "req/base.txt": b"numpy\n-r train.txt\n",
        "limits.txt": b"numpy==2.0\n",
    }
    got = read_requirements(files, "req/train.txt")
    assert [(line.text, line.is_constraint) for line in got.lines] == [
        ("numpy", False),
        ("numpy==2.0", True),
        ("six", False),
    ]
    assert got.files == ("req/train.txt", "req/base.txt", "limits.txt")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-r ../secret.txt", "outside the project"),
        ("-r /etc/passwd", "outside the project"),
        ("-r missing.txt", "missing.txt is not in the project"),
        ("x @ file:///etc/passwd", "neither in the project"),
        ("/opt/x.whl", "neither in the project"),
        ("git+file:///srv/secret", "neither in the project"),
        ("x @ ssh://host/x", "neither in the project"),
        ("x @ https://host/${TOKEN}.whl", "variable of the server"),
        ("--index-url https://${TOKEN}@host", "variable of the server"),
        ("./lib", "built from the project's own files"),
        ("-e ./lib", "built from the project's own files"),
        ("../x-1.0-py3-none-any.whl", "outside the project"),
        ("./x-1.0-py3-none-any.whl", "not in the project"),
    ],
)
def test_what_cannot_be_honoured_names_its_line(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"six\n{line}\n")
    assert caught.value.message.startswith("requirements.txt:2: ")
    assert said in caught.value.message


def test_the_project_itself_is_not_installed() -> None:
    for line in (".", "-e .", "-e .[dev]"):
        got = read_requirements({"requirements.txt": f"{line}\nsix\n".encode()}, "requirements.txt")
        assert [each.text for each in got.lines] == ["six"]
        assert "PYTHONPATH" in got.ignored[0]


def test_where_things_come_from() -> None:
    text = b"six\nmy-lib @ https://host/x.whl\nhttps://host/y.whl\nz @ git+https://host/z@abc\n./w/x-1.0-py3-none-any.whl\n"
    got = read_requirements({"r.txt": text, "w/x-1.0-py3-none-any.whl": b"zip"}, "r.txt")
    assert [line.source for line in got.lines] == [Source.INDEX, Source.URL, Source.URL, Source.GIT, Source.WHEEL]
    assert [line.name for line in got.lines] == ["six", "my-lib", "", "z", ""]
    assert got.lines[-1].text == "w/x-1.0-py3-none-any.whl"
    assert got.files == ("r.txt", "w/x-1.0-py3-none-any.whl")


def test_endless_includes_end() -> None:
    files = {f"{number}.txt": f"-r {number + 1}.txt\n".encode() for number in range(100)}
    with pytest.raises(UsageError, match="include each other"):
        read_requirements(files, "0.txt")


def test_what_is_no_text_is_said() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        read_requirements({"r.txt": "ü".encode("latin-1")}, "r.txt")


def test_specifiers_of_a_table_are_read_alike() -> None:
    got = from_specifiers(["Six>=1", "x @ git+https://h/x"], "pyproject.toml")
    assert [(line.name, line.source) for line in got.lines] == [("six", Source.INDEX), ("x", Source.GIT)]
