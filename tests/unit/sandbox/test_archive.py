"""Archives go out and come back the same, and a hostile one writes nothing outside of its folder."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.sandbox.inside.archive import BadArchive, Limits, TooMuch, is_safe_link, pack, parts_of, pieces, unpack

PLENTY = Limits(bytes=1 << 24)
LONG = "/".join(["a-rather-long-name-of-a-folder"] * 9) + "/file.txt"


def packed(folder: Path, *names: str, links: bool = False) -> io.BytesIO:
    stream = io.BytesIO()
    pack(folder, stream, names, links=links)
    stream.seek(0)
    return stream


def made(*entries: tarfile.TarInfo, data: bytes = b"") -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            entry.size = len(data) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(data))
    stream.seek(0)
    return stream


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o644
    return info


def test_files_folders_and_bits_come_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name, text in (("train.py", "print(1)"), ("src/deep/a b.txt", "é"), (LONG, "long"), ("empty.txt", "")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (source / "train.py").chmod(0o755)
    (source / "nothing").mkdir()
    target.mkdir()
    found = unpack(
        packed(source, "train.py", "src", "nothing", LONG.split("/")[0], "empty.txt", "absent"), target, limits=PLENTY
    )
    assert found.files == 4
    assert sorted(str(each.relative_to(source)) for each in source.rglob("*")) == sorted(
        str(each.relative_to(target)) for each in target.rglob("*")
    )
    assert (target / "src/deep/a b.txt").read_text() == "é"
    assert os.access(target / "train.py", os.X_OK)
    assert not os.access(target / "empty.txt", os.X_OK)


def test_equal_files_make_equal_archives(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        for each in ("b", "a", "sub/c"):
            (tmp_path / name / each).write_text(each)
    os.utime(tmp_path / "two" / "a", (1, 1))
    assert packed(tmp_path / "one", "a", "b", "sub").read() == packed(tmp_path / "two", "a", "b", "sub").read()


def test_pieces_are_the_same_archive(tmp_path: Path) -> None:
    for name, size in (("a", 0), ("sub/b", 511), ("sub/c", 512), (LONG, 9000), ("d", 3 << 20)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert b"".join(pieces(tmp_path, names)) == packed(tmp_path, *names).read()
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(BadArchive, match="link is no plain file"):
        pieces(tmp_path, ["a", "link"])


def test_safe_links_of_a_commit_travel_and_others_do_not(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "data").mkdir(parents=True)
    (source / "data" / "x.csv").write_text("1")
    (source / "latest").symlink_to("data/x.csv")
    (source / "data" / "up").symlink_to("../latest")
    target.mkdir()
    unpack(packed(source, "data", "latest", links=True), target, limits=PLENTY, links=True)
    assert (target / "data" / "up").read_text() == "1"
    with pytest.raises(BadArchive, match="data/up is no plain file: a link"):
        packed(source, "data", "latest")
    for name, leads in (("out", "/etc/passwd"), ("out", "../../etc"), ("data/out", "../../x"), ("out", "data/../..")):
        assert not is_safe_link(name, leads)
        (tmp_path / "t").mkdir(exist_ok=True)
        with pytest.raises(BadArchive, match="is a link"):
            unpack(made(entry(name, tarfile.SYMTYPE, leads)), tmp_path / "t", limits=PLENTY, links=True)


def test_what_lies_behind_a_link_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "model").symlink_to(tmp_path / "secret")
    with pytest.raises(BadArchive, match="lies behind"):
        packed(tmp_path / "work", "model/key")


def claims(size: bytes) -> io.BytesIO:
    """An archive of one file whose size is written like this, and more than enough of its bytes."""
    header = bytearray(entry("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return io.BytesIO(bytes(header) + b"x" * 5000)


HOSTILE: dict[str, Callable[[], io.BytesIO]] = {
    "a size below nothing": lambda: claims(b"-0000001000"),
    "a size of a binary minus": lambda: claims(b"\xff" * 12),
    "a size with a sign": lambda: claims(b"+1"),
    "a size with a line in it": lambda: claims(b"1_0"),
    "absolute": lambda: made(entry("/etc/canary")),
    "upwards": lambda: made(entry("../canary")),
    "upwards in the middle": lambda: made(entry("a/../../canary")),
    "only dots": lambda: made(entry("..", tarfile.DIRTYPE)),
    "itself": lambda: made(entry(".", tarfile.DIRTYPE)),
    "an empty part": lambda: made(entry("a//b")),
    "a part too long": lambda: made(entry("x" * 256)),
    "too deep": lambda: made(entry("/".join(["d"] * 101))),
    "a name too long": lambda: made(entry("/".join(["d" * 200] * 30))),
    "a link": lambda: made(entry("a", tarfile.SYMTYPE, "/etc")),
    "a link, then a file through it": lambda: made(entry("a", tarfile.SYMTYPE, "/tmp"), entry("a/canary")),
    "a hard link": lambda: made(entry("a", tarfile.LNKTYPE, "/etc/passwd")),
    "a device": lambda: made(entry("a", tarfile.CHRTYPE)),
    "a disk": lambda: made(entry("a", tarfile.BLKTYPE)),
    "a pipe": lambda: made(entry("a", tarfile.FIFOTYPE)),
    "a sparse file": lambda: made(entry("a", tarfile.GNUTYPE_SPARSE)),
    "a pax header": lambda: made(entry("a", tarfile.XHDTYPE)),
    "a global pax header": lambda: made(entry("a", tarfile.XGLTYPE)),
    "a contiguous file": lambda: made(entry("a", tarfile.CONTTYPE)),
    "the same file twice": lambda: made(entry("a"), entry("a")),
    "a file below a file": lambda: made(entry("a"), entry("a/b")),
    "a folder where a file is": lambda: made(entry("a"), entry("a", tarfile.DIRTYPE)),
    "no archive": lambda: io.BytesIO(b"PK\x03\x04" + b"x" * 2000),
    "nothing at all": lambda: io.BytesIO(b""),
    "cut in a header": lambda: io.BytesIO(made(entry("a"), data=b"x" * 600).read()[:300]),
    "cut in a file": lambda: io.BytesIO(made(entry("a"), data=b"x" * 6000).read()[:1100]),
    "a gzip": lambda: io.BytesIO(bytes.fromhex("1f8b0800") + b"\0" * 600),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("links", [False, True])
def test_a_hostile_archive_is_refused_and_leads_nowhere(tmp_path: Path, name: str, links: bool) -> None:  # noqa: FBT001  # a parameter of the test
    (tmp_path / "in").mkdir()
    with pytest.raises(BadArchive):
        unpack(HOSTILE[name](), tmp_path / "in", limits=PLENTY, links=links)
    assert [each.name for each in tmp_path.iterdir()] == ["in"]
    assert not any(each.is_symlink() for each in (tmp_path / "in").rglob("*"))
    assert not Path("/tmp/canary").exists()


def test_a_bomb_stops_at_the_limits(tmp_path: Path) -> None:
    claims = entry("huge")
    claims.size = 1 << 62
    header = io.BytesIO(claims.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096)
    (tmp_path / "a").mkdir()
    with pytest.raises(TooMuch, match="more than 1000 bytes"):
        unpack(header, tmp_path / "a", limits=Limits(bytes=1000))
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "b").mkdir()
    many = made(*(entry(f"d{number}/e/f") for number in range(40)))
    with pytest.raises(TooMuch, match="more than 50 files and folders"):
        unpack(many, tmp_path / "b", limits=Limits(bytes=1000, entries=50))
    long_name = entry("x", tarfile.GNUTYPE_LONGNAME)
    long_name.size = 1 << 40
    (tmp_path / "c").mkdir()
    with pytest.raises(BadArchive, match="too long"):
        unpack(io.BytesIO(long_name.tobuf(tarfile.GNU_FORMAT)), tmp_path / "c", limits=PLENTY)


class Endless:
    """A stream that never ends: a beginning, then the same again and again; it stops the test, not the reader."""

    def __init__(self, begin: bytes, again: bytes) -> None:
        self.data, self.again, self.given = begin, again, 0

    def read(self, size: int) -> bytes:
        while len(self.data) < min(size, 1 << 16):
            self.data += self.again
        found, self.data = self.data[:size], self.data[size:]
        self.given += len(found)
        assert self.given < 64 << 20, "it read on and on"
        return found


FOLDER = entry("d", tarfile.DIRTYPE).tobuf(tarfile.GNU_FORMAT)
LONG_NAME = entry("x", tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "again",
    [FOLDER, LONG_NAME, FOLDER + LONG_NAME, entry("/".join(["f"] * 90), tarfile.DIRTYPE).tobuf(tarfile.GNU_FORMAT)],
    ids=["the same folder", "names of nothing", "both", "a folder deep down"],
)
def test_what_says_the_same_for_ever_is_given_up(tmp_path: Path, again: bytes) -> None:
    with pytest.raises(BadArchive):
        unpack(Endless(b"", again), tmp_path, limits=Limits(bytes=1000, entries=100))  # type: ignore[arg-type]


def test_long_names_do_not_fill_the_memory(tmp_path: Path) -> None:
    deep = "/".join(["d" * 35] * 99)
    many = made(*(entry(f"{deep}/{number}", tarfile.DIRTYPE) for number in range(60)))
    with pytest.raises(TooMuch, match="names are longer"):
        unpack(many, tmp_path, limits=Limits(bytes=1000, entries=200))


@given(st.binary(max_size=1536))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BadArchive):
        unpack(io.BytesIO(data), Path(folder), limits=Limits(bytes=4096, entries=10))


PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda part: part not in {".", ".."} and len(part.encode()) < 200
)


@given(st.dictionaries(st.tuples(PARTS, PARTS), st.binary(max_size=1500), max_size=6))
def test_whatever_a_folder_holds_comes_back(files: dict[tuple[str, str], bytes]) -> None:
    with tempfile.TemporaryDirectory() as room:
        source, target = Path(room, "source"), Path(room, "target")
        source.mkdir()
        target.mkdir()
        for (folder, name), data in files.items():
            (source / folder).mkdir(exist_ok=True)
            (source / folder / name).write_bytes(data)
        unpack(packed(source, *(folder for folder, _ in files)), target, limits=PLENTY)
        for (folder, name), data in files.items():
            assert (target / folder / name).read_bytes() == data


@given(st.text(max_size=40))
def test_a_name_that_is_taken_leads_downwards(name: str) -> None:
    try:
        parts = parts_of(name)
    except (BadArchive, UnicodeEncodeError):
        return
    assert parts
    assert os.path.normpath("/root/" + name) == "/root/" + name
