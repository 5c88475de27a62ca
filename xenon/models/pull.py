"""Fetches a model of the catalogue, checks it, and makes the console's files of it."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import loader
from xenon.errors import XenonError, reason
from xenon.models.catalogue import Entry, Member, Origin
from xenon.models.download import CHUNK, Progress, Web, download
from xenon.models.folder import TOKENIZER, About, ModelFolder, PulledModel
from xenon.models.origins import remote_of

Step = Callable[[str], AbstractContextManager[Progress]]
"""What shows a step: takes its name, gives what is told how far it is."""


def pull(
    entry: Entry, step: Step, folder: ModelFolder | None = None, web: Web | None = None, again: bool = False
) -> PulledModel:
    """The model of this entry: the one that is there already, or fetched, checked and converted.

    `again` fetches one that is there. A model appears whole or not at all. What a download that was cut short
    has brought is kept for the next. Raises XenonError, loader.LoaderError.
    """
    folder, web = folder or ModelFolder(), web or Web()
    if not again and (model := folder.get(entry.name)) is not None:
        return model
    with folder.filling(entry.name) as partial:
        model = folder.get(entry.name)  # somebody may just have been quicker
        if model is not None and not again:
            return model
        source, sha256 = _fetch(entry.model, partial, step, web)
        tokenizer = source if entry.tokenizer is None else _fetch(entry.tokenizer, partial, step, web)[0]
        made = partial / "made"
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        with step("converting") as progress:
            about = _convert(entry, sha256, (source, tokenizer), made, progress)
        return folder.publish(made, about)


def _fetch(origin: Origin, partial: Path, step: Step, web: Web) -> tuple[Path, str]:
    """A file of the catalogue, checked, and its SHA-256."""
    member = origin.member
    name = Path(member.path if member else origin.file).name
    target = partial / name
    if member is not None and _sha256(target) == member.sha256:  # of an earlier attempt
        return target, member.sha256
    remote = remote_of(web, origin)
    archive = partial / Path(origin.file).name
    with step("downloading") as progress:
        download(web, remote, archive, progress)
    if member is None:
        return archive, remote.sha256
    with step("unpacking") as progress:
        unpack(archive, member, target, progress)
    archive.unlink()
    return target, member.sha256


def unpack(archive: Path, member: Member, target: Path, progress: Progress) -> None:
    """Take one file out of a zip archive, of exactly the size and the SHA-256 that are expected.

    Nothing is left of a file that is not that. Raises XenonError.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(archive) as files, files.open(member.path) as source, target.open("wb") as out:
            while done < member.size and (data := source.read(min(CHUNK, member.size - done))):
                digest.update(data)
                out.write(data)
                done += len(data)
                progress(done, member.size)
            rest = source.read(1)
        if rest or done != member.size or digest.hexdigest() != member.sha256:
            raise XenonError(
                f"{archive}: {member.path} is not the file of {member.size} bytes"
                f" with SHA-256 {member.sha256}"
            )
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        target.unlink(missing_ok=True)
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise XenonError(f"{archive}: {member.path}: {what}") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _convert(entry: Entry, sha256: str, sources: tuple[Path, Path], made: Path, progress: Progress) -> About:
    """Write the console's checkpoint and tokenizer; raises loader.LoaderError."""
    target, order = made / f"{entry.name}.be.bin", loader.ByteOrder.BIG
    opened = loader.open_any(sources[0])
    if isinstance(opened, loader.Model):
        plan = loader.plan(opened, order, None, target)
    else:
        recipe = loader.Recipe(loader.Format.CONSOLE, context=entry.context)
        plan = loader.plan_checkpoint(loader.weights(opened), order, recipe, target)
    tokenizer = loader.plan(loader.open_tokenizer(sources[1]), order, None, made / TOKENIZER)
    loader.write([plan, tokenizer], False, progress)
    model = loader.open(target)
    loader.check_vocabulary(model, loader.open_tokenizer(made / TOKENIZER))
    return About(
        name=entry.name,
        license=entry.license,
        source=source_of(entry.model),
        source_sha256=sha256,
        model_sha256=loader.sha256(model.image(order)),
        tokenizer_sha256=_sha256(made / TOKENIZER),
        context=model.config.seq_len,
    )


def source_of(origin: Origin) -> str:
    """`huggingface.co/karpathy/tinyllamas@0bd21da7: stories15M.bin`."""
    revision = origin.revision[:8] if len(origin.revision) == 40 else origin.revision
    return f"{origin.host.value}/{origin.repository}@{revision}: {origin.file}"


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
