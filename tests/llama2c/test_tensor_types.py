"""A new tensor type of the guest is a file and two lines, as a type shows that only tests have."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sharing import alone_in, build_once, building_quickly, run_folder
from support import NATIVE, Floats, Made, image_bytes

import loader
from llama2c import build
from llama2c.reference import Reference
from loader import ByteOrder, Image, TensorType
from loader.image import Segment
from loader.source import Source
from loader.tensor_types import F32, I32
from xenon.console import Bytes, Console

TYPE = Path(__file__).parent / "programs" / "scaled_fours.c"
FOURS = TensorType("scaled fours", 4, 8, ((0, 4),), "=f4,(4,)i1")
STORY = ["m", "-z", "t", "-i", "a bee", "-n", "12", "-t", "0", "-e"]
MODEL_SHAPES: dict[str, dict[str, int]] = {"shared": {}, "own classifier": {"shared": 0, "n_kv_heads": 4}}


def add_type(sources: Path) -> None:
    """The file and its line in the table; the third change says which files are of that type."""
    shutil.copy(TYPE, sources)
    table = sources / "tensor_types.def"
    row = "TENSOR_TYPE(fp32)\n"
    table.write_text(table.read_text().replace(row, f"{row}TENSOR_TYPE(scaled_fours)\n"))
    header = sources / "header.c"
    header.write_text(header.read_text().replace("MATRIX_TYPE = 0;", "MATRIX_TYPE = 1000;"))


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> tuple[Path, Reference]:
    """The guest and the reference with one more type. Their sources are at the same place in each run: zig
    knows files that it has compiled by their paths, and compiles again what has changed."""
    folder = run_folder(tmp_path_factory) / "scaled fours"
    assert pytestconfig.cache is not None
    place = pytestconfig.cache.mkdir("scaled_fours")

    def build_both(unfinished: Path) -> None:
        sources = place / "src"
        with pytest.MonkeyPatch.context() as patch, building_quickly(), alone_in(place):
            shutil.rmtree(sources, ignore_errors=True)
            shutil.copytree(build.SOURCES, sources)
            add_type(sources)
            patch.setattr(build, "SOURCES", sources)
            patch.setattr(build, "PORT", (*build.PORT, "scaled_fours"))
            build.build_guest(folder / "guest", sources / "main.c")
            build.build_reference(folder / build.reference_name())
        unfinished.touch()

    build_once(folder.with_suffix(".built"), build_both)
    return folder / "guest", Reference(folder / build.reference_name())


class Twins:
    """One model twice: with matrices of scaled fours, and with the same numbers in fp32."""

    def __init__(self, made: Made) -> None:
        rng = np.random.default_rng(7)
        model = loader.open(made.model)
        self.vocab_size = model.config.vocab_size
        self.tokenizer = loader.open_tokenizer(made.tokenizer)
        fours, floats = bytearray(made.model.read_bytes()[:28]), bytearray(made.model.read_bytes()[:28])
        segments = [Segment(28, I32, 0)]
        for tensor in model.tensors:
            array = model.array(tensor.name)
            if tensor.name.startswith(("token", "w")):
                blocks = np.zeros(tensor.count // 4, FOURS.numpy(ByteOrder.LITTLE))
                blocks["f0"] = 2.0 ** rng.integers(
                    -9, -6, len(blocks)
                )  # so that a product with int8 is exact
                blocks["f1"] = rng.integers(-128, 128, (len(blocks), 4))
                array = (blocks["f0"][:, None] * blocks["f1"]).astype("<f4")
                segments.append(Segment(FOURS.nbytes(tensor.count), FOURS, len(fours)))
                fours += blocks.tobytes()
            else:
                segments.append(Segment(tensor.nbytes, F32, len(fours)))
                fours += array.tobytes()
            floats += array.tobytes()
        self.path = made.model.with_name("fours.bin")
        self.path.write_bytes(fours)
        self._segments = segments
        made.model.with_name("floats.bin").write_bytes(floats)
        self.floats = image_bytes(loader.open(made.model.with_name("floats.bin")), NATIVE)

    def fours(self, order: ByteOrder) -> bytes:
        """The file of scaled fours in a byte order."""
        with closing(Source(self.path)) as source:
            image = Image(source, self._segments, swap=order is not ByteOrder.LITTLE)
            data = bytearray(image.size)
            image.read_into(0, memoryview(data))
            return bytes(data)

    def files(self, model: bytes, order: ByteOrder) -> dict[str, bytes]:
        return {"m": model, "t": image_bytes(self.tokenizer, order)}

    def host_logits(self, reference: Reference, model: bytes, kernel: str) -> Floats:
        arguments = [*STORY, "-l", "-k", kernel]
        status, written, messages = reference.run(self.files(model, NATIVE), arguments)
        assert status == 0, messages
        return np.frombuffer(written, np.float32).reshape(-1, self.vocab_size)


def run_guest(guest: Path, files: dict[str, bytes], *options: str) -> tuple[int | None, bytes, bytes]:
    """Exit status, standard output and standard error in the console."""
    console = Console()
    for name, data in files.items():
        console.disc.add(name, Bytes(data))
    console.boot(guest, [*STORY, *options])
    outputs = list(console.run(timeout=60))
    written, messages = (b"".join(output.data for output in outputs if output.fd == fd) for fd in (1, 2))
    return console.exit_status, written, messages


@pytest.mark.parametrize("kernel", ["scalar", "vmx"])
@pytest.mark.parametrize("shape", MODEL_SHAPES)
def test_a_type_of_scaled_blocks_computes_as_the_same_numbers_in_fp32(
    builds: tuple[Path, Reference],
    reference: Reference,
    make_model: Callable[..., Made],
    shape: str,
    kernel: str,
) -> None:
    guest, with_type = builds
    twins = Twins(make_model(**MODEL_SHAPES[shape]))
    expected = twins.host_logits(reference, twins.floats, kernel)
    assert expected.shape[0] == 12 and np.ptp(expected) > 0.1
    np.testing.assert_array_equal(twins.host_logits(with_type, twins.fours(NATIVE), kernel), expected)
    files = twins.files(twins.fours(ByteOrder.BIG), ByteOrder.BIG)
    status, written, messages = run_guest(guest, files, "-l", "-k", kernel)
    assert status == 0, messages
    np.testing.assert_array_equal(np.frombuffer(written, ">f4").reshape(expected.shape), expected)


def test_a_row_that_is_not_whole_blocks_is_refused(
    builds: tuple[Path, Reference], make_model: Callable[..., Made]
) -> None:
    made = make_model(hidden_dim=22)
    files = {"m": made.model.read_bytes(), "t": made.tokenizer.read_bytes()}
    status, _, messages = builds[1].run(files, STORY)
    assert (status, messages) == (
        1,
        b"error: m: dim 16, hidden_dim 22, expected multiples of 4 for scaled fours\n",
    )


def test_a_file_of_another_type_has_the_wrong_size(
    builds: tuple[Path, Reference], make_model: Callable[..., Made]
) -> None:
    twins = Twins(make_model())
    status, _, messages = builds[1].run(twins.files(twins.floats, NATIVE), STORY)
    wanted = len(twins.fours(NATIVE))
    assert (status, messages) == (1, f"error: m: {len(twins.floats)} bytes, expected {wanted}\n".encode())


def test_the_gpu_is_refused_for_a_type_that_it_has_no_program_for(
    builds: tuple[Path, Reference], make_model: Callable[..., Made]
) -> None:
    twins = Twins(make_model())
    files = twins.files(twins.fours(ByteOrder.BIG), ByteOrder.BIG)
    status, written, messages = run_guest(builds[0], files, "-g")
    assert (status, written) == (1, b"")
    assert messages == b"error: -g: no program of the GPU computes with the model's tensor type\n"
