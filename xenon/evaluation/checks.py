"""What `verify` checks of a model, a row each: its file in both byte orders, and what computes with it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import loader
from xenon.errors import XenonError
from xenon.evaluation.dump import first_difference, tensors_of
from xenon.evaluation.engines import ConsoleEvaluator, Evaluator, ReferenceEvaluator, logits_of
from xenon.evaluation.windows import Window
from xenon.linux.program import read_image
from xenon.models.folder import ModelFolder
from xenon.profile.scan import scan_report
from xenon.recompiler.cpu_kind import CpuKind, installed
from xenon.stories.engine import gpu_limit
from xenon.stories.guest import guest_program
from xenon.stories.session import Session
from xenon.stories.settings import Activations, Engine, KeyValueType, Matmul, Setup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GPU_TOLERANCE = 1e-4  # of the logits' range, docs/gpu.md
DEFAULT_POSITIONS = 9  # a whole batch and one more
_STEP = 7919  # between two tokens, so that they come from all over the vocabulary
_CHUNK = 1 << 20


class Outcome(Enum):
    """How a check ended. SKIPPED: it could not be made here, and says why."""

    PASSED = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the report."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be verified, and how far. `setup` names the engine and the CPU where only one is wanted."""

    model: loader.Model
    tokenizer: loader.Tokenizer
    setup: Setup
    tokens: tuple[int, ...]
    timeout: float | None = None

    @property
    def matmul(self) -> Matmul:
        return self.setup.matmul or Matmul.VMX

    def host(self) -> ReferenceEvaluator:
        """The same C on this computer. Raises XenonError without the compiler."""
        setup = self.setup
        numbers = setup.kv, setup.activations
        return ReferenceEvaluator(self.model, self.tokenizer, self.matmul, setup.context, *numbers)


def tokens_to_verify(model: loader.Model, positions: int, seed: int = 0) -> tuple[int, ...]:
    """As many tokens as can be, from all over the vocabulary, others for another seed; the first is the one
    that texts begin with."""
    size = model.config.vocab_size
    count = min(positions, model.config.seq_len)
    start = seed * (positions - 1)
    return (1 % size, *((1 + (start + number) * _STEP) % size for number in range(1, count)))


def checks(plan: Plan) -> Iterator[Check]:
    """Every check, as it is made. What goes wrong in one is its outcome, and the others are made as well."""
    for file in (plan.model, plan.tokenizer):
        kind = "model" if isinstance(file, loader.Model) else "tokenizer"
        yield _made(f"{kind}: checksum", partial(_checksum, file))
        yield _made(f"{kind}: both byte orders", partial(_round_trip, file))
    yield _made("tokenizer: fits the model", partial(_vocabulary, plan))
    yield _made("guest: instructions", _guest_image)
    yield _made("console: memory", partial(_memory, plan))
    yield from _logit_checks(plan)


def _made(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, Outcome.PASSED, check())
    except (XenonError, loader.LoaderError) as error:
        return Check(name, Outcome.FAILED, error.message)


def _checksum(file: loader.Model | loader.Tokenizer) -> str:
    """The SHA-256 of the big-endian file, compared with that of a model that was pulled."""
    digest = loader.sha256(file.image(loader.ByteOrder.BIG))
    pulled = ModelFolder().get(file.path.parent.name) if file.path.is_absolute() else None
    if pulled is not None and file.path in (pulled.model, pulled.tokenizer):
        about = pulled.about
        known = about.model_sha256 if file.path == pulled.model else about.tokenizer_sha256
        if digest != known:
            raise XenonError(f"SHA-256 {digest} big-endian, {known} when it was pulled")
        return f"SHA-256 {digest} big-endian, as it was pulled"
    return f"SHA-256 {digest} big-endian"


def _round_trip(file: loader.Model | loader.Tokenizer) -> str:
    """The file in the other byte order, opened and turned back, has the bytes of the file."""
    own = file.byte_order
    other = loader.ByteOrder.LITTLE if own is loader.ByteOrder.BIG else loader.ByteOrder.BIG
    before = loader.sha256(file.image(own)) if _is_made(file) else _file_sha256(file.path)
    with tempfile.TemporaryDirectory(prefix="xenon-verify-") as folder:
        turned = Path(folder) / f"turned{file.path.suffix}"
        with turned.open("wb") as out:
            image = file.image(other)
            buffer = memoryview(bytearray(_CHUNK))
            for offset in range(0, image.size, _CHUNK):
                part = buffer[: image.size - offset]
                image.read_into(offset, part)
                out.write(part)
        is_model = isinstance(file, loader.Model)
        back = loader.open(turned) if is_model else loader.open_tokenizer(turned)
        try:
            if back.byte_order is not other:
                raise XenonError(f"turned to {other} it is read as {back.byte_order}")
            after = loader.sha256(back.image(own))
        finally:
            back.close()  # before its folder goes, as Windows needs it
    if after != before:
        raise XenonError(f"{own} to {other} and back: SHA-256 {after}, expected {before}")
    return f"{own} to {other} and back is the identity"


def _is_made(file: loader.Model | loader.Tokenizer) -> bool:
    """Whether the image is another file's than this one: a tokenizer.json becomes the guest's own kind, a
    GGUF file a model in memory."""
    return isinstance(file, loader.HeldModel) or (isinstance(file, loader.Tokenizer) and not file.converted)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _vocabulary(plan: Plan) -> str:
    loader.check_vocabulary(plan.model, plan.tokenizer)
    return f"{len(plan.tokenizer):,} pieces for a vocabulary of {plan.model.config.vocab_size:,}"


def _guest_image() -> str:
    program = guest_program()
    report = scan_report(read_image(program), program.name)
    if report.findings:
        raise XenonError(f"{program.name} has {len(report.findings)} instructions that Xenon lacks")
    return f"{program.name}: {report.instructions:,} instructions, all of them Xenon's"


def _memory(plan: Plan) -> str:
    budget = Session(plan.model, plan.tokenizer, plan.setup).budget()
    budget.check()
    return f"a context of {plan.setup.context or plan.model.config.seq_len} positions fits"


def _logit_checks(plan: Plan) -> Iterator[Check]:
    """The logits of everything that computes, each compared with the first that could."""
    vocab_size, windows = plan.model.config.vocab_size, [Window(plan.tokens, 1)]
    base: tuple[Evaluator, NDArray[np.float32]] | None = None
    for name, make in _evaluators(plan):
        try:
            evaluator = make()
            if isinstance(evaluator, str):
                yield Check(name, Outcome.SKIPPED, evaluator)
                continue
            logits = logits_of(evaluator, windows, vocab_size)
            if base is None:
                yield Check(name, Outcome.PASSED, _finite(logits))
                base = evaluator, logits
            elif evaluator.name.endswith("gpu"):
                yield Check(name, Outcome.PASSED, _close(logits, *base))
            else:
                yield Check(name, Outcome.PASSED, _same(plan, evaluator, logits, *base))
        except (XenonError, loader.LoaderError) as error:
            yield Check(name, Outcome.FAILED, error.message)


def _evaluators(plan: Plan) -> Iterator[tuple[str, Callable[[], Evaluator | str]]]:
    """What computes, by its name; made when it is wanted. A text in its place says why there is none."""
    setup = plan.setup
    yield "logits: host", partial(_host, plan)
    for kind in CpuKind:
        if setup.engine is not Engine.GPU and setup.cpu in (None, kind):
            yield f"logits: console, {kind.value}", partial(_console, plan, Engine.CPU, kind)
    if setup.engine is not Engine.CPU:
        yield "logits: console, gpu", partial(_console, plan, Engine.GPU, None)


def _host(plan: Plan) -> Evaluator | str:
    try:
        return plan.host()
    except XenonError as error:
        return f"{error.message}: {error.hint}"


def _console(plan: Plan, engine: Engine, kind: CpuKind | None) -> Evaluator | str:
    setup = plan.setup
    context = setup.context or plan.model.config.seq_len
    if engine is Engine.GPU:
        if setup.kv is KeyValueType.F16:
            return "the GPU keeps keys and values in f32"
        if setup.activations is Activations.INT8:
            return "the GPU's activations are f32"
        if limit := gpu_limit(plan.model.config, context):
            return limit
        setup = replace(setup, engine=engine, cpu=None, matmul=None, threads=None)
    else:
        if kind is CpuKind.RECOMPILER and not installed():
            return "llvmlite is not installed"
        setup = replace(setup, engine=engine, cpu=kind, matmul=plan.matmul)
    return ConsoleEvaluator(Session(plan.model, plan.tokenizer, setup), plan.timeout)


def _finite(logits: NDArray[np.float32]) -> str:
    import numpy as np

    if not np.isfinite(logits).all():
        position = int(np.argmin(np.isfinite(logits).all(axis=1)))
        raise XenonError(f"logits that are no numbers, first at position {position}")
    return f"{len(logits)} positions, every logit is a number"


def _same(
    plan: Plan,
    evaluator: Evaluator,
    logits: NDArray[np.float32],
    other: Evaluator,
    wanted: NDArray[np.float32],
) -> str:
    """The same bits; else the first tensor that differs is named."""
    import numpy as np

    bits, expected = logits.view(np.uint32), wanted.view(np.uint32)
    if np.array_equal(bits, expected):
        return f"{len(logits)} positions, the bits of {other.name}"
    position, index = map(int, np.argwhere(bits != expected)[0])
    message = (
        f"position {position}, logit {index}: {logits[position, index]:.9g}, "
        f"{other.name} has {wanted[position, index]:.9g}"
    )
    heads = plan.model.config.n_heads
    difference = first_difference(
        tensors_of(evaluator, plan.tokens, heads), tensors_of(other, plan.tokens, heads)
    )
    raise XenonError(
        f"{message}; the first tensor that differs: {difference or 'none, when they are written'}"
    )


def _close(logits: NDArray[np.float32], other: Evaluator, wanted: NDArray[np.float32]) -> str:
    """Within the GPU's tolerance, which adds in its own order."""
    import numpy as np

    spread = np.maximum(wanted.max(axis=1) - wanted.min(axis=1), np.finfo(np.float32).tiny)
    away = np.abs(logits - wanted).max(axis=1) / spread
    away = np.where(np.isnan(away), np.inf, away)
    worst = int(np.argmax(away))
    if away[worst] > GPU_TOLERANCE:
        raise XenonError(
            f"position {worst}: {away[worst]:.1e} of the logits' range away from {other.name}, "
            f"at most {GPU_TOLERANCE:g}"
        )
    return f"{len(logits)} positions, within {away[worst]:.1e} of the range of {other.name}'s logits"
