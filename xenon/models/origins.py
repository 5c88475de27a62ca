"""Where a file of the catalogue is to be had: its address, size and SHA-256, asked of its host."""

from __future__ import annotations

import json
import re
from typing import Final, cast
from urllib.parse import quote

from xenon.errors import XenonError
from xenon.models.catalogue import Host, Origin
from xenon.models.download import Remote, Web, printable, read_page

INSTALL_HINT: Final = "pip install 'xenon-llm[hf]'"
_MOST_PAGE: Final = 16 << 20  # bytes of a page of the index
_MOST_SIZE: Final = 8 << 30  # bytes of a model; far more than a console holds
_SIMPLE_JSON: Final = "application/vnd.pypi.simple.v1+json"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def remote_of(web: Web, origin: Origin) -> Remote:
    """The file at its host. Raises XenonError."""
    if origin.host is Host.PYPI:
        return _on_pypi(web, origin)
    if origin.host is Host.HUB:
        return _on_hub(web, origin)
    place = "/".join(quote(part) for part in (origin.repository, origin.revision, origin.file))
    if origin.sha256 is None:
        raise XenonError(f"{origin.file}: no SHA-256 of it is known")
    return Remote(f"{web.raw_files}/{place}", origin.size, origin.sha256)


def _on_pypi(web: Web, origin: Origin) -> Remote:
    """A distribution of a project, by the index's page in JSON (PEP 691)."""
    page = f"{web.simple_index}/{quote(origin.repository)}/"
    data = read_page(web, page, _MOST_PAGE, {"Accept": _SIMPLE_JSON})
    try:
        files = cast("list[dict[str, object]]", json.loads(data)["files"])
        row = next((row for row in files if row["filename"] == origin.file), None)
        url = "" if row is None else str(row["url"])
        hashes = {} if row is None else cast("dict[str, object]", row["hashes"])
        sha256, size = hashes.get("sha256"), None if row is None else row.get("size")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise XenonError(f"{page}: no page of a package index") from error
    if row is None:
        raise XenonError(f"{page}: no file {origin.file}")
    return _checked(origin, url, size, sha256)


def _on_hub(web: Web, origin: Origin) -> Remote:
    """A file of a repository of the Hugging Face hub, with the user's token if there is one."""
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise XenonError(
            f"{origin.file}: it comes from {origin.host.value}, and huggingface_hub is not installed",
            INSTALL_HINT,
        ) from error
    url = hub.hf_hub_url(origin.repository, origin.file, revision=origin.revision, endpoint=web.hub)
    try:
        facts = hub.get_hf_file_metadata(url, endpoint=web.hub)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise XenonError(f"{printable(url)}: {_first_line(error)}", "is there a network?") from error
    except Exception as error:  # its HTTP library's own errors, which it does not name
        raise XenonError(f"{printable(url)}: {_first_line(error)}", "is there a network?") from error
    return _checked(origin, facts.location, facts.size, facts.etag)


def _checked(origin: Origin, url: str, size: object, sha256: object) -> Remote:
    """What the host says of a file; raises XenonError where it is not what the catalogue says."""
    if not isinstance(size, int) or not 0 < size <= _MOST_SIZE:
        raise XenonError(f"{origin.file}: {origin.host.value} says its size is {printable(str(size))}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise XenonError(f"{origin.file}: {origin.host.value} names no SHA-256 of it")
    if origin.sha256 is None:
        return Remote(url, size, sha256)
    if (size, sha256) != (origin.size, origin.sha256):
        raise XenonError(
            f"{origin.file}: {origin.host.value} has {size} bytes with SHA-256 {sha256}, "
            f"expected {origin.size} bytes with {origin.sha256}",
            "the file has changed there; a newer xenon-llm may know it",
        )
    return Remote(url, origin.size, origin.sha256)


def _first_line(error: Exception) -> str:
    """The first line of what a library says of an error."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0])
