"""What the two halves of `xenon-llm profile` share: a run under the profiler, and where its report goes."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xenon.cli.output import OutputFile

if TYPE_CHECKING:
    from pathlib import Path

    from xenon.console import Console
    from xenon.linux.program import Program
    from xenon.profile.profile import Profile
    from xenon.profile.profiler import Profiler


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the report shows, how many functions and blocks, and where it goes; `inputs` are not overwritten.

    Without `output` it goes to stderr; as JSON to stdout, and what the guest prints to stderr.
    """

    top: int
    blocks: int
    as_json: bool
    output: Path | None
    flame: Path | None
    inputs: tuple[Path, ...]


class ProfiledRun:
    """A run under the profiler: leaving the `with` block writes the report, for a run that fails as well."""

    def __init__(self, title: str, options: ReportOptions) -> None:
        self._title = title
        self._options = options
        self._profiler: Profiler | None = None
        self._files = ExitStack()
        self._report: OutputFile | None = None
        self._flame: OutputFile | None = None
        self._streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
        if options.as_json and options.output is None:
            self._streams[1] = sys.stderr.buffer

    def watch(self, console: Console, program: Program) -> None:
        """Profile what this console runs from now on."""
        from xenon.profile.profiler import Profiler

        self._profiler = Profiler(console, program, blocks=self._options.blocks)
        self._profiler.start()

    def write(self, stream: int, data: bytes) -> None:
        """Print what the guest wrote to its stdout (1) or stderr (2)."""
        self._streams[stream].write(data)
        self._streams[stream].flush()

    def __enter__(self) -> ProfiledRun:
        options = self._options
        with ExitStack() as files:  # an output that cannot be made gives up the one made before
            if options.output is not None:
                self._report = files.enter_context(OutputFile(options.output, options.inputs))
            if options.flame is not None:
                self._flame = files.enter_context(OutputFile(options.flame, options.inputs))
            self._files = files.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._files:
            if self._profiler is not None:
                self._write(replace(self._profiler.stop(), program=self._title))

    def _write(self, profile: Profile) -> None:
        from xenon.profile.report import as_json, flame, lines

        options = self._options
        if options.as_json:
            text = json.dumps(as_json(profile), indent=2)
        else:
            text = "\n".join(lines(profile, options.top, " (--top)"))
        if self._flame is not None:
            self._flame.write(flame(profile))
        if self._report is not None:
            self._report.write(text + "\n")
        else:
            print(text, file=sys.stdout if options.as_json else sys.stderr)
