"""The package's public names, whose modules are imported when they are first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import loader


@pytest.mark.parametrize("name", loader.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(loader, name) is not None
    assert name in loader._HOMES


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """Importing a module makes it an attribute of its package."""
    modules = {path.stem for path in Path(loader.__file__).parent.iterdir()}
    assert not modules & set(loader.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clsoe'"):
        _ = loader.clsoe


def test_opening_the_bundled_model_imports_no_other_format() -> None:
    text = (
        "import sys, llama2c, loader\n"
        "loader.find_tokenizer(loader.open(llama2c.bundled_model()))\n"
        "others = {'numpy', 'loader.gguf.file', 'loader.safetensors.folder', 'loader.byte_pairs'}\n"
        "print(others & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
