"""What XeLL starts of a stick: kboot.conf, its rules, and the files that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from systems import LINKS

from xenon.errors import XenonError
from xenon.xell.kboot import BootEntry, parse_kboot
from xenon.xell.layout import PLACES, Loader
from xenon.xell.stick import find_start

FIRST = b"#KBOOTCONFIG\n"


def entries(text: bytes) -> tuple[BootEntry, ...]:
    return parse_kboot("kboot.conf", FIRST + text)


def refusal(data: bytes) -> str:
    with pytest.raises(XenonError) as caught:
        parse_kboot("kboot.conf", data)
    return caught.value.message


def test_an_entry_is_taken_apart_as_xell_does() -> None:
    (entry,) = entries(b'; a comment\n\n story = "uda0:/a.elf  initrd=uda0:/b.bin -i  a=b root=/dev/x"\n')
    assert entry == BootEntry(b"story", b"uda0:/a.elf", b"root=/dev/x -i a=b", b"uda0:/b.bin")


def test_settings_are_no_entries_and_give_what_an_entry_lacks() -> None:
    text = (
        b"timeout=5\nvideomode=3\nspeedup=1\ninitrd=uda0:/i\nroot=/r\na=uda0:/a\nb=uda0:/b initrd=uda0:/j\n"
    )
    assert entries(text) == (
        BootEntry(b"a", b"uda0:/a", b"root=/r", b"uda0:/i"),
        BootEntry(b"b", b"uda0:/b", b"root=/r", b"uda0:/j"),
    )


def test_the_default_comes_first() -> None:
    assert [entry.label for entry in entries(b"a=x:/a\nb=x:/b\nc=x:/c\ndefault=b\n")] == [b"b", b"a", b"c"]


BAD = {
    "no first line": (b"a=uda0:/a\n", "line 1: expected #KBOOTCONFIG"),
    "more on the first line": (b"#KBOOTCONFIG 2\na=uda0:/a\n", "line 1: expected #KBOOTCONFIG"),
    "carriage return": (FIRST + b"a=uda0:/a\r\n", "line 2: has a carriage return"),
    "too long": (FIRST + b"a=uda0:/a " + b"x" * 300, "line 2: has 308 characters, XeLL takes at most 254"),
    "no entry": (FIRST + b"timeout=1\n", "has no entry to start"),
    "no value": (FIRST + b"a\n", "line 2: expected NAME=VALUE"),
    "a label of two words": (FIRST + b"a b=uda0:/a\n", "has a space"),
    "too many": (FIRST + b"a=uda0:/a\n" * 65, "has 65 entries, XeLL holds 64"),
    "too large": (FIRST + b"#" * 16384, "XeLL reads at most 16384"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_menu_is_refused_by_rule(case: str) -> None:
    data, rule = BAD[case]
    message = refusal(data)
    assert message.startswith("kboot.conf: ") and rule in message


def test_an_entry_of_254_characters_is_taken() -> None:
    (entry,) = entries(b"a=uda0:/a " + b"x" * 244)
    assert len(entry.bootargs) == 244


def stick_refusal(folder: Path, label: str | None = None, loader: Loader = Loader.NEW) -> str:
    with pytest.raises(XenonError) as caught:
        find_start(folder, loader, label)
    return caught.value.message


def test_a_menu_goes_before_a_program_and_names_are_spelled_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, data in {"XENON.ELF": b"1", "vmlinux": b"2", "sub/Other.elf": b"3"}.items():
        (tmp_path / name).write_bytes(data)
    assert find_start(tmp_path, Loader.NEW).program == b"1"
    assert find_start(tmp_path, Loader.NEW).argument == b"uda0:/xenon.elf"
    (tmp_path / "kboot.conf").write_bytes(FIRST + b"a=uda0:/SUB/other.elf\nb=udb0:/vmlinux\n")
    assert find_start(tmp_path, Loader.NEW).program == b"3"
    assert find_start(tmp_path, Loader.NEW, "b").program == b"2"
    assert "has no entry 'c'" in stick_refusal(tmp_path, "c")


def test_a_stick_with_nothing_on_it_is_refused(tmp_path: Path) -> None:
    assert "holds nothing that XeLL starts" in stick_refusal(tmp_path)
    assert "no such file or directory" in stick_refusal(tmp_path / "missing")
    assert "has no kboot.conf" in stick_refusal(tmp_path, "story")


def test_a_stick_that_would_flash_the_console_is_refused(tmp_path: Path) -> None:
    (tmp_path / "xenon.elf").write_bytes(b"1")
    (tmp_path / "UPDXELL.BIN").write_bytes(b"1")
    assert "writes into the console's flash" in stick_refusal(tmp_path)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        (b"uda0:/missing.elf", "no file 'uda0:/missing.elf' on the stick"),
        (b"uda0:/a.elf initrd=uda0:/missing.bin", "no file 'uda0:/missing.bin' on the stick"),
        (b"a.elf", "names no device"),
        (b"uda0:/../a.elf", "leaves the stick"),
        (b"uda0:/out/secret", "on the stick"),
        (b"uda0:/a.elf/b", "on the stick"),
    ],
)
@LINKS
def test_files_that_are_not_on_the_stick_are_refused(tmp_path: Path, entry: bytes, rule: str) -> None:
    folder, outside = tmp_path / "usb", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"1")
    (folder / "out").symlink_to(outside)
    (folder / "a.elf").write_bytes(b"1")
    (folder / "kboot.conf").write_bytes(FIRST + b"story=" + entry + b"\n")
    assert rule in stick_refusal(folder)


@pytest.mark.parametrize("loader", list(Loader))
def test_an_initrd_may_reach_up_to_the_loaders_code(tmp_path: Path, loader: Loader) -> None:
    room = PLACES[loader].initrd
    (tmp_path / "a.elf").write_bytes(b"1")
    (tmp_path / "kboot.conf").write_bytes(FIRST + b"a=uda0:/a.elf initrd=uda0:/model.bin\n")
    (tmp_path / "model.bin").touch()
    with (tmp_path / "model.bin").open("r+b") as file:
        file.truncate(room.size + 1)
        message = stick_refusal(tmp_path, loader=loader)
        assert f"an initrd of {room.size + 1} bytes, expected at most {room.size}" in message
        file.truncate(room.size)
    assert len(find_start(tmp_path, loader).initrd or b"") == room.size
    assert room.end == PLACES[loader].loader.start
