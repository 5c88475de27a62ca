"""The user's folder of models: a folder for each, whole or not at all.

`NAME/` holds the checkpoint NAME.be.bin, tokenizer.be.bin and about.json. `.NAME.part/` holds what a download
has brought so far, `.NAME.lock` is locked while somebody fetches the model. The folder must belong to the
user, and nobody else may write to it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from xenon.errors import XenonError, reason
from xenon.host.files import is_users, lock, open_private, others_may_write
from xenon.user_cache import user_cache

ABOUT, TOKENIZER = "about.json", "tokenizer.be.bin"
_MOST_ABOUT = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a model that was fetched. The last two SHA-256 are of the files that were made."""

    name: str
    license: str
    source: str
    source_sha256: str
    model_sha256: str
    tokenizer_sha256: str
    context: int


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A model in the folder. `size` is that of its files, in bytes."""

    about: About
    model: Path
    tokenizer: Path
    size: int


class ModelFolder:
    """The folder. Every method may raise XenonError for one that is not the user's alone."""

    def __init__(self, path: Path | None = None) -> None:
        base = user_cache()
        self.path = path if path is not None else None if base is None else base / "models"
        """None for a user without a home."""

    def get(self, name: str) -> PulledModel | None:
        """The model of this name; None where it was not fetched, or its files are gone."""
        if self.path is None or not self._is_safe():
            return None
        place = self.path / name
        model, tokenizer = place / f"{name}.be.bin", place / TOKENIZER
        try:
            about = _read_about(place / ABOUT)
            size = sum(path.stat().st_size for path in (model, tokenizer))
        except (OSError, ValueError):
            return None
        return PulledModel(about, model, tokenizer, size)

    def partial_bytes(self, name: str) -> int:
        """Bytes that an unfinished download has left."""
        if self.path is None:
            return 0
        with contextlib.suppress(OSError):
            return sum(path.stat().st_size for path in self._partial(name).iterdir() if path.is_file())
        return 0

    def remove(self, name: str) -> int:
        """Delete a model, and what an unfinished download has left: the bytes that were freed.

        Raises XenonError for files that cannot be deleted.
        """
        if self.path is None or not self._is_safe():
            return 0
        with self._locked(name):
            freed = 0
            for folder in (self.path / name, self._partial(name)):
                if folder.is_dir() and not folder.is_symlink():
                    freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                    # Another name first: what is cut short is never taken for a model.
                    doomed = self._partial(name) if folder.name == name else folder
                    with _errors(folder):
                        if doomed != folder:
                            shutil.rmtree(doomed, ignore_errors=True)
                            folder.rename(doomed)
                        shutil.rmtree(doomed)
            return freed

    @contextmanager
    def filling(self, name: str) -> Iterator[Path]:
        """A folder for the downloads of a model, which stays if an exception leaves the block; nobody else
        has it meanwhile. Raises XenonError."""
        if self.path is None:
            raise XenonError(
                "no place for models: this user has no home folder", "XDG_CACHE_HOME names a folder for them"
            )
        with _errors(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_safe():
            raise XenonError(f"{self.path}: is not a folder")
        with self._locked(name):
            partial = self._partial(name)
            with _errors(partial):
                partial.mkdir(mode=0o700, exist_ok=True)
            if partial.is_symlink():
                raise XenonError(f"{partial}: is a link", "remove it")
            try:
                yield partial
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.rmdir()  # where nothing has come
                raise
            shutil.rmtree(partial, ignore_errors=True)

    def publish(self, made: Path, about: About) -> PulledModel:
        """Put a finished folder, below the one of `filling`, in its place. Raises XenonError."""
        assert self.path is not None
        place = self.path / about.name
        with _errors(place):
            (made / ABOUT).write_bytes(json.dumps(asdict(about), indent=2).encode() + b"\n")
            if place.exists():
                place.rename(made.parent / "replaced")
            made.rename(place)
        model = self.get(about.name)
        if model is None:
            raise XenonError(f"{place}: was changed while it was made")
        return model

    def _partial(self, name: str) -> Path:
        return (self.path or Path()) / f".{name}.part"

    def _is_safe(self) -> bool:
        """Whether the folder is there; raises XenonError for one that others may write to."""
        assert self.path is not None
        try:
            status = self.path.stat()
        except OSError:
            return False
        if not is_users(status):
            raise XenonError(f"{self.path}: belongs to another user, no model is taken from there")
        if others_may_write(status):
            raise XenonError(
                f"{self.path}: others may write to it, no model is taken from there",
                "take that right away (chmod go-w)",
            )
        return stat.S_ISDIR(status.st_mode)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Raises XenonError while another process has the lock."""
        assert self.path is not None
        place = self.path / f".{name}.lock"
        with _errors(place):
            descriptor = open_private(place)
        try:
            try:
                lock(descriptor)
            except BlockingIOError as error:
                raise XenonError(
                    f"{name}: another process is fetching it", "wait until it is done"
                ) from error
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """OSErrors as XenonErrors that name the place."""
    try:
        yield
    except OSError as error:
        hint = "make room, then try again" if error.errno == errno.ENOSPC else ""
        raise XenonError(f"{error.filename or path}: {reason(error)}", hint) from error


def _read_about(path: Path) -> About:
    """Raises OSError, ValueError."""
    with path.open("rb") as file:
        data = file.read(_MOST_ABOUT)
    try:
        about = About(**cast("dict[str, str]", json.loads(data)))  # type: ignore[arg-type]
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    kinds = {name: int if name == "context" else str for name in About.__dataclass_fields__}
    if not all(isinstance(getattr(about, name), kind) for name, kind in kinds.items()):
        raise ValueError("a value of another kind")
    return about
