"""What a file is that is not what was asked for: other formats known by their first bytes, and plain text."""

from __future__ import annotations

PICKLE_HINT = "pickles run code when they are opened, so they are not; save the model as safetensors"
EXPORT_HINT = "llama2.c's export.py writes a checkpoint from it"

# (offset, first bytes, what it is, the next step)
_MAGICS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"GGUF", "a GGUF file", "convert it first"),
    (
        0,
        b"FUGG",
        "a GGUF file with its magic reversed, which no released tool writes",
        "a big-endian GGUF file begins with GGUF as well",
    ),
    (0, b"lmgg", "a GGML file", "a newer llama.cpp makes GGUF from it"),
    (0, b"tjgg", "a GGJT file", "a newer llama.cpp makes GGUF from it"),
    (8, b'{"', "a safetensors file", "the folder needs the model's config.json as well"),
    (0, b"PK\x03\x04", "a PyTorch checkpoint or another zip archive", PICKLE_HINT),
    (0, b"\x80\x02", "a Python pickle, as old PyTorch writes it", PICKLE_HINT),
    (0, b"\x7fELF", "an ELF program", "give the model file, not the program that runs it"),
    (0, b"\x93NUMPY", "a NumPy array", EXPORT_HINT),
    (0, b"\x89HDF", "an HDF5 file", EXPORT_HINT),
    (0, b"\x1f\x8b", "gzip-compressed", "unpack it with gunzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it with unzstd"),
    (0, b"\xfd7zXZ", "xz-compressed", "unpack it with unxz"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself",
        "git lfs pull fetches the file",
    ),
    (0, b"<!DOCTYPE", "a web page", "the download saved a page; take the link to the raw file"),
    (0, b"<html", "a web page", "the download saved a page; take the link to the raw file"),
)
HEAD_BYTES = 512


def recognise(head: bytes) -> tuple[str, str] | None:
    """What a file starting with `head` (HEAD_BYTES at most) is, and a hint; None if that cannot be told."""
    for offset, magic, what, hint in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return what, hint
    if head and _is_text(head):
        return "a text file", "give a binary file as llama2.c's export.py and tokenizer.py write them"
    return None


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character cut in two by the end of `head` is still text.
        return len(head) == HEAD_BYTES and error.start >= len(head) - 3
    return True
