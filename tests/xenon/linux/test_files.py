"""The disc shows granted files and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from systems import DEVICES, LINKS

from xenon.errors import XenonError
from xenon.linux.files import Bytes, Disc, File, HostFile, normalise
from xenon.linux.uapi import GuestError


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/",
        "/data",
        "/data/../etc/passwd",
        "/proc/self/mem",
        "/dev/mem",
        "/../../etc/passwd",
        "/data/x",
    ],
)
def test_no_path_leads_to_the_host(disc: Disc, path: str) -> None:
    try:
        found = disc.find(path.encode())
    except GuestError:
        return
    assert not isinstance(found, File)


@LINKS
def test_a_link_beside_a_granted_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "granted").write_bytes(b"yes")
    (tmp_path / "link").symlink_to("/etc/passwd")
    disc = Disc()
    disc.add(str(tmp_path / "granted"), HostFile(tmp_path / "granted"))
    for name in ("link", "../passwd", "granted/../link"):
        with pytest.raises(GuestError, match=r"ENOENT|ENOTDIR"):
            disc.find(str(tmp_path / name).encode())


@pytest.mark.parametrize(
    "spelling", ["model.bin", "./model.bin", "/model.bin", "../model.bin", "a/../model.bin"]
)
def test_a_file_is_found_under_the_spelling_it_was_granted_with(spelling: str) -> None:
    disc = Disc()
    disc.add(spelling, Bytes(b"it"))
    assert isinstance(disc.find(normalise(spelling.encode())), File)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_normal_paths_stay_below_the_root_and_are_stable(path: bytes, folder: bytes) -> None:
    found = normalise(path, b"/" + folder)
    assert found.startswith(b"/")
    assert not {b".", b".."} & set(found.split(b"/"))
    assert normalise(found) == found


@pytest.mark.parametrize("path", ["/", "", "..", "/data", "/data/words.txt", "/data/words.txt/more", "a\0b"])
def test_a_grant_that_cannot_be_is_refused(disc: Disc, path: str) -> None:
    with pytest.raises(XenonError):
        disc.add(path, Bytes(b""))


def test_a_host_file_that_shrinks_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(b"0123456789")
    file = HostFile(path)
    path.write_bytes(b"01")
    with pytest.raises(XenonError, match="shrinking: byte 2: the file ends, expected 10 bytes"):
        file.read_into(0, memoryview(bytearray(10)))


@DEVICES
def test_what_is_no_file_cannot_be_granted(tmp_path: Path) -> None:
    with pytest.raises(XenonError, match="is a directory"):
        HostFile(tmp_path)
    with pytest.raises(XenonError, match="no such file"):
        HostFile(tmp_path / "missing")
    with pytest.raises(XenonError, match="not a regular file"):
        HostFile("/dev/null")
