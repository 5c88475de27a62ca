"""Text in, token numbers out, by the guest's own code in a console of its own."""

from __future__ import annotations

from contextlib import closing

import loader
from llama2c.facts import hot_functions
from xenon.console import Bytes, Console, CpuKind, MachineSettings, check_timeout
from xenon.errors import XenonError
from xenon.stories.guest import MODEL_PATH, PROMPT_PATH, TOKENIZER_PATH, guest_error, guest_program
from xenon.stories.settings import Matmul

_STDOUT = 1


def tokenize(
    tokenizer: loader.Tokenizer,
    text: bytes,
    special: bool = False,
    cpu: CpuKind | None = None,
    timeout: float | None = None,
) -> list[int]:
    """The tokens of a text; llama2.c's kind of tokenizer puts BOS before them.

    `special` says whether control tokens that the text contains count as such. Raises XenonError for a text
    that the vocabulary has no tokens for, GuestFault and LimitReached as `Console.run` does.
    """
    check_timeout(timeout)
    console = Console(MachineSettings() if cpu is None else MachineSettings(cpu=cpu))
    console.disc.add(TOKENIZER_PATH, tokenizer.image(loader.ByteOrder.BIG))
    console.disc.add(PROMPT_PATH, Bytes(text))
    arguments = [MODEL_PATH, "-w", "-z", TOKENIZER_PATH, "-f", PROMPT_PATH, *(["-x"] if special else [])]
    byte_pairs = tokenizer.kind is loader.TokenizerKind.BYTE_PAIRS
    console.boot(guest_program(), arguments, hot=hot_functions(Matmul.VMX.value, byte_pairs))
    numbers, messages = bytearray(), bytearray()
    with closing(console.run(timeout)) as outputs:
        for output in outputs:
            (numbers if output.fd == _STDOUT else messages).extend(output.data)
    if console.exit_status != 0:
        message = guest_error(bytes(messages)).replace(TOKENIZER_PATH, str(tokenizer.path))
        raise XenonError(message, "the text is too long" if "memory" in message else "")
    return [int(number) for number in numbers.split()]
