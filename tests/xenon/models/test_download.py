"""Downloads over a connection that breaks, lies and leads elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import LIMITS, LINKS
from web_server import Served, Site, serving

from xenon.errors import XenonError
from xenon.models import download as module
from xenon.models.download import Remote, Web, download, read_page

DATA = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with serving() as site:
        yield site


def fetch(site: Site, target: Path, sha256: str = DIGEST, size: int = len(DATA)) -> None:
    download(site.web, Remote(f"{site.address}/file", size, sha256), target)


def test_a_file_arrives(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA)
    seen: list[tuple[int, int]] = []
    remote = Remote(f"{site.address}/file", len(DATA), DIGEST)
    download(site.web, remote, tmp_path / "file", lambda done, total: seen.append((done, total)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))


def test_a_broken_connection_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA, ends_after=[1000, 0, 500_000])
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    ranges = [asked for _, _, asked in site.requests]
    assert ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=501000-"]


def test_an_earlier_attempt_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:70_000])
    site.files["/file"] = Served(DATA)
    fetch(site, tmp_path / "file")
    assert site.requests == [("GET", "/file", "bytes=70000-")]
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_whole_file_of_an_earlier_attempt_is_only_checked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    fetch(site, tmp_path / "file")
    assert site.requests == []


@pytest.mark.parametrize("left", [DATA[:5000], DATA + b"more"], ids=["part", "more than all"])
def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "file").write_bytes(left)
    site.files["/file"] = Served(DATA, with_ranges=False)
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_what_came_stays_when_nothing_more_comes(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA, ends_after=[1000, *[0] * 10])
    with pytest.raises(XenonError, match=r"the connection ended after 1,000 of 1,048,576 bytes") as caught:
        fetch(site, tmp_path / "file")
    assert "goes on where it stopped" in caught.value.hint
    assert (tmp_path / "file").read_bytes() == DATA[:1000]
    assert len(site.requests) == 1 + module.MOST_ATTEMPTS


def test_another_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA[:-1] + b"!")
    with pytest.raises(XenonError, match=rf"SHA-256 [0-9a-f]{{64}}, expected {DIGEST}; it was thrown away"):
        fetch(site, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_damaged_earlier_attempt_is_thrown_away(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    site.files["/file"] = Served(DATA)
    with pytest.raises(XenonError, match="thrown away"):
        fetch(site, tmp_path / "file")
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize("length", [10, len(DATA) + 1, -5])
def test_a_server_that_lies_about_the_length_is_refused(site: Site, tmp_path: Path, length: int) -> None:
    site.files["/file"] = Served(DATA, length=length)
    with pytest.raises(XenonError, match=f"the server announces {length} bytes, expected 1048576"):
        fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_server_that_sends_another_part_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:100])
    site.files["/file"] = Served(DATA, range="bytes 0-1048475/1048476")
    with pytest.raises(XenonError, match="sends bytes 0-1048475/1048476, expected bytes 100-1048575/1048576"):
        fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA[:100]


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, module.MOST_ATTEMPTS)])
def test_an_error_of_the_server_is_said(site: Site, tmp_path: Path, status: int, requests: int) -> None:
    site.files["/file"] = Served(b"", status=status)
    with pytest.raises(XenonError, match=rf"/file: {status} "):
        fetch(site, tmp_path / "file")
    assert len(site.requests) == requests


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://example.org/file", "the host example.org is none that models come from"),
        ("http://127.0.0.1.example.org/", "the host 127.0.0.1.example.org is none"),
        ("file:///etc/passwd", "302 .*is not allowed"),
        ("ftp://127.0.0.1/file", "ftp, expected http"),
        ("http://evil.org\x1b[31m/", "(?i)evil.org|not an address|invalid"),
    ],
)
def test_a_redirect_elsewhere_is_refused(site: Site, tmp_path: Path, address: str, message: str) -> None:
    site.files["/file"] = Served(b"", moved=address)
    with pytest.raises(XenonError, match=message) as caught:
        fetch(site, tmp_path / "file")
    assert "\x1b" not in caught.value.message


def test_a_redirect_among_known_hosts_is_followed(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(b"", moved=f"{site.address}/there")
    site.files["/there"] = Served(DATA)
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://pypi.org/simple/", True),
        ("https://files.pythonhosted.org/x", True),
        ("https://cas-bridge.xethub.hf.co/x", True),
        ("https://huggingface.co/x", True),
        ("http://pypi.org/simple/", False),
        ("https://evilhf.co/x", False),
        ("https://pypi.org.evil.net/", False),
        ("https://pypi.org@evil.net/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1/", False),
    ],
)
def test_the_real_web_is_a_few_hosts_over_https(url: str, allowed: bool) -> None:
    if allowed:
        Web().check(url)
    else:
        with pytest.raises(XenonError):
            Web().check(url)


def test_a_page_has_a_bound(site: Site) -> None:
    site.files["/page"] = Served(b"x" * 1001)
    assert len(read_page(site.web, f"{site.address}/page", 1001)) == 1001
    with pytest.raises(XenonError, match="more than 1000 bytes"):
        read_page(site.web, f"{site.address}/page", 1000)


@LIMITS
def test_a_full_disk_is_said_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA)
    target = tmp_path / "file"
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from pathlib import Path\n"
        "from xenon.errors import XenonError\n"
        "from xenon.models.download import *\n"
        f"web = Web(('http',), ('127.0.0.1',))\n"
        f"remote = Remote({site.address + '/file'!r}, {len(DATA)}, {DIGEST!r})\n"
        f"try: download(web, remote, Path({str(target)!r}))\n"
        "except XenonError as error: print(error.message, '|', error.hint)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-B", "-c", code], env=environment, capture_output=True, text=True)
    assert re.fullmatch(
        rf"{re.escape(str(target))}: file too large, 1,048,576 bytes are needed \| make room.*\n", done.stdout
    ), done
    assert not target.exists()


@LINKS
def test_a_link_in_place_of_the_file_is_not_followed(site: Site, tmp_path: Path) -> None:
    site.files["/file"] = Served(DATA)
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "file").symlink_to(tmp_path / "mine")
    with pytest.raises(XenonError, match="too many levels of symbolic links"):
        fetch(site, tmp_path / "file")
    assert (tmp_path / "mine").read_bytes() == b"mine"
