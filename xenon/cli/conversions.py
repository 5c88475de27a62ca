"""What a `convert` command line comes to: which files are written, from what, in which form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xenon.cli.errors import UsageError
from xenon.errors import ErrorCode, XenonError

if TYPE_CHECKING:
    from loader import ByteOrder, Conversion, Gguf, HuggingFaceFolder, Model, Recipe, Tokenizer, Weights

FormatName = Literal["v0", "v1", "v2", "console", "gguf"]
Quantisation = Literal["int8", "q8_0", "q4_1", "f16", "bf16"]
_USAGE = "xenon-llm convert --help"


@dataclass
class Wishes:
    """What the options ask for; `notes` takes what the user should know besides."""

    out: Path | None
    order: ByteOrder
    format: FormatName | None
    quantize: Quantisation | None
    group: int | None
    context: int | None
    c64: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def makes(self) -> bool:
        """Whether an option asks for tensors to be made anew."""
        return (self.quantize, self.group, self.context) != (None, None, None)


def planned(model: Path | None, tokenizer: Path | None, wishes: Wishes) -> list[Conversion]:
    """Everything to be converted, with all inputs read and checked."""
    import loader
    from loader.file_facts import group_warning
    from xenon.models.find import model_path

    if model is None and tokenizer is None:
        raise UsageError("missing MODEL", _USAGE)
    if wishes.c64:
        return _planned_c64(model, tokenizer, wishes)
    if model is None:
        return [loader.plan(loader.open_tokenizer(str(tokenizer)), wishes.order, None, wishes.out)]
    path = model_path(model)
    if path != model and wishes.out is None:
        wishes.out = Path()  # not beside a pulled model
    opened = loader.open_any(path) if tokenizer is None else loader.open(path)
    plans = [_planned_model(opened, wishes)]
    if isinstance(opened, loader.Model) and (warning := group_warning(opened.config)):
        wishes.notes.append(f"{opened.path}: {warning}")
    if tokenizer is not None and isinstance(opened, loader.Model):
        second = loader.open_tokenizer(tokenizer)
        loader.check_vocabulary(opened, second)
        folder = None if wishes.out is None else plans[0].target.parent
        plans.append(loader.plan(second, wishes.order, None, folder))
    if tokenizer is None and plans[0].kind is loader.FileKind.MODEL:
        plans += _tokenizer_of(opened, plans[0], wishes)
    return plans


def _planned_c64(model: Path | None, tokenizer: Path | None, wishes: Wishes) -> list[Conversion]:
    import loader
    from xenon.models.find import model_path

    if wishes.makes or wishes.format is not None:
        raise UsageError("--to c64 has one form: no --format, --quantize, --group or --context", _USAGE)
    pieces = None if tokenizer is None else loader.open_tokenizer(tokenizer)
    if model is None:
        assert pieces is not None
        return loader.plan_c64(pieces, None, wishes.out)
    path = model_path(model)
    if path != model and wishes.out is None:
        wishes.out = Path()  # not beside a pulled model
    if pieces is None:
        wishes.notes.append("no tokenizer.bin is written: -z TOKENIZER names the model's tokenizer")
    return loader.plan_c64(loader.open_any(path), pieces, wishes.out)


def _tokenizer_of(
    source: Model | Tokenizer | Gguf | HuggingFaceFolder, model: Conversion, wishes: Wishes
) -> list[Conversion]:
    """The tokenizer in a GGUF file or a folder, beside the checkpoint; a note says why there is none."""
    import loader

    try:
        if isinstance(source, (loader.Model, loader.Tokenizer)):
            return []
        tokenizer = loader.own_tokenizer(source)
    except loader.LoaderError as error:
        wishes.notes.append(f"no tokenizer is written: {error.message}")
        return []
    if tokenizer is None:
        return []
    return [loader.plan(tokenizer, wishes.order, None, model.target.parent)]


def _planned_model(opened: Model | Tokenizer | Gguf | HuggingFaceFolder, wishes: Wishes) -> Conversion:
    import loader

    if isinstance(opened, loader.Tokenizer) or not _is_made(opened, wishes):
        if wishes.makes:
            raise UsageError("--quantize, --group and --context are for checkpoints made of a model", _USAGE)
        wanted = None if wishes.format in (None, "gguf") else loader.Format[wishes.format.upper()]
        if wishes.format == "gguf" and not isinstance(opened, loader.Gguf):
            raise UsageError("--format gguf is for GGUF files", "xenon-llm export makes GGUF of other models")
        return loader.plan(opened, wishes.order, wanted, wishes.out)
    weights = loader.weights(opened)
    recipe = _recipe(weights, wishes)
    plan = loader.plan_checkpoint(weights, wishes.order, recipe, wishes.out)
    _check_context(weights, recipe, plan, wishes)
    return plan


def _is_made(opened: Model | Gguf | HuggingFaceFolder, wishes: Wishes) -> bool:
    """Whether the output is a checkpoint made of the tensors, and not the file itself, swapped."""
    import loader

    if isinstance(opened, loader.HuggingFaceFolder):
        return True
    if isinstance(opened, loader.Gguf):
        if wishes.format is not None:
            return wishes.format != "gguf"
        keeps_suffix = wishes.out is None or wishes.out.suffix == ".gguf" or wishes.out.is_dir()
        return wishes.makes or not keeps_suffix
    return wishes.makes or (wishes.format == "console" and opened.format is not loader.Format.CONSOLE)


def _recipe(weights: Weights, wishes: Wishes) -> Recipe:
    import loader
    from loader.checkpoints import DEFAULT_GROUP
    from loader.tensor_types import BF16, F16, Q4_1, Q8_0
    from xenon.stories.made_model import DEFAULT_CONTEXT

    types = {"q8_0": Q8_0, "q4_1": Q4_1, "f16": F16, "bf16": BF16, "int8": None, None: None}
    format = wishes.format or ("v2" if wishes.quantize == "int8" else "console")
    if format in ("v0", "gguf"):
        raise UsageError(f"--format {format} cannot be made of {weights.path}", "take v1, v2 or console")
    fitting = {"v1": (None,), "v2": (None, "int8"), "console": (None, "q8_0", "q4_1", "f16", "bf16")}
    if wishes.quantize not in fitting[format]:
        known = ", ".join(filter(None, fitting[format])) or "no --quantize"
        raise UsageError(
            f"--quantize {wishes.quantize} does not go with --format {format}", f"it takes {known}"
        )
    if wishes.group is not None and format != "v2":
        raise UsageError("--group is for --quantize int8", _USAGE)
    context = wishes.context
    if context is None and weights.config.seq_len > DEFAULT_CONTEXT:
        context = DEFAULT_CONTEXT
        wishes.notes.append(
            f"a context of {context}, not the model's {weights.config.seq_len}; --context takes another"
        )
    group = DEFAULT_GROUP if wishes.group is None else wishes.group
    return loader.Recipe(loader.Format[format.upper()], types[wishes.quantize], group, context)


def _check_context(weights: Weights, recipe: Recipe, plan: Conversion, wishes: Wishes) -> None:
    """Raises XenonError for a context that was asked for and does not fit in the console."""
    import loader
    from xenon.stories.fitting import context_that_fits

    context = recipe.context or weights.config.seq_len
    fits = context_that_fits(weights.config, plan.image.size)
    if context <= fits or plan.byte_order is loader.ByteOrder.LITTLE:
        return
    message = f"{weights.path}: keys and values of a context of {context} do not fit in the console"
    if not fits:
        wishes.notes.append(f"{message}, nor do those of any: the file takes {plan.image.size:,} bytes")
    elif wishes.context is None:
        wishes.notes.append(f"{message}; --context {fits} fits")
    else:
        raise XenonError(message, "", ErrorCode.CONTEXT_TOO_LONG, longest_context=fits)
