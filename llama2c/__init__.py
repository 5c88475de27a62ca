"""The guest: a port of llama2.c in our own C, the bundled story model, and where they are installed."""

from __future__ import annotations

from pathlib import Path

ROOM = Path(__file__).resolve().parent


def guest_program() -> Path:
    """The guest program, a static ppc64 big-endian ELF that the package's build compiled.

    Raises FileNotFoundError, with the command that builds it, in a checkout that was never installed.
    """
    return _built("llama2.elf")


def xell_program() -> Path:
    """The same program for a console without an operating system, which xenon.pack puts into a container.

    Raises FileNotFoundError as guest_program does.
    """
    return _built("xell.elf")


def c64_program() -> Path:
    """The Commodore 64, a program for the console as the guest is.

    Raises FileNotFoundError as guest_program does.
    """
    return _built("c64.elf")


def _built(name: str) -> Path:
    path = ROOM / "guest" / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not built yet: run `pip install -e .` in the checkout")
    return path


def bundled_model() -> Path:
    """The story model that comes with the package: a big-endian v0 checkpoint, its tokenizer beside it."""
    return ROOM / "model" / "joe260K.be.bin"


def bundled_tokenizer() -> Path:
    """The bundled model's tokenizer, 512 pieces, big-endian."""
    return ROOM / "model" / "tok512.be.bin"
