"""What a process does with a job: it tells a story with a model that stays loaded, or verifies a model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import loader
from xenon.batch.jobs import BatchJob, Result, StoryJob, VerifyJob
from xenon.errors import XenonError
from xenon.stories.runnable import RunnableModel
from xenon.stories.session import Session
from xenon.stories.settings import Engine, Setup

_one_at_a_time = threading.Lock()  # a process of a cluster may have several threads


@dataclass(frozen=True, slots=True)
class StoryWork:
    """Stories of a model, the same one in every process: `sha256` is that of its big-endian file."""

    model: str | None
    tokenizer: str | None
    setup: Setup
    sha256: str
    timeout: float | None = None

    def do(self, job: BatchJob) -> Result:
        """Tell a story. Raises XenonError where this process has another model."""
        assert isinstance(job, StoryJob)
        with _one_at_a_time:
            session = _session(self)
            try:
                with session.tell(job.prompt, job.sampling(), self.timeout) as story:
                    text = "".join(story).removesuffix("\n")
            except (XenonError, loader.LoaderError) as error:
                return failure(job, error)
        figures = story.statistics
        assert figures is not None  # it is at its end
        cleaned = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return {
            "id": job.identity,
            "text": cleaned,
            "prompt_tokens": figures.prompt_tokens,
            "tokens": figures.tokens,
            "seed": figures.seed,
        }


@dataclass(frozen=True, slots=True)
class VerifyWork:
    """Verifications on so many positions."""

    setup: Setup
    positions: int
    timeout: float | None = None

    def do(self, job: BatchJob) -> Result:
        """Make every check of a model."""
        assert isinstance(job, VerifyJob)
        from xenon.evaluation.checks import Outcome, Plan, checks, tokens_to_verify
        from xenon.stories.guest import open_model, open_tokenizer

        try:
            setup = self.setup
            threads = None if setup.engine is Engine.GPU else job.threads
            model = open_model(job.model, setup.context)
            tokenizer = open_tokenizer(model, job.tokenizer)
            tokens = tokens_to_verify(model, min(self.positions, setup.context or self.positions), job.seed)
            plan = Plan(model, tokenizer, replace(setup, threads=threads), tokens, self.timeout)
            with _one_at_a_time:
                rows = list(checks(plan))
        except (XenonError, loader.LoaderError) as error:
            return failure(job, error)
        failed = [row for row in rows if row.outcome is Outcome.FAILED]
        return {
            "id": job.identity,
            "passed": not failed,
            "checks": [
                {"name": row.name, "outcome": row.outcome.name.lower(), "detail": row.detail} for row in rows
            ],
        }


BatchWork = StoryWork | VerifyWork


def story_work(model: str | None, tokenizer: str | None, setup: Setup, timeout: float | None) -> StoryWork:
    """The work of a batch of stories. Raises what RunnableModel raises, and OutOfMemoryError where the model
    does not fit."""
    runnable = RunnableModel(model, tokenizer, setup)
    runnable.budget(conversation=True).check()
    return StoryWork(model, tokenizer, setup, _sha256(runnable), timeout)


def failure(job: BatchJob, error: XenonError | loader.LoaderError) -> Result:
    """The result of a job that failed."""
    return {"id": job.identity, "error": error.message, "code": error.code.value}


_loaded: dict[StoryWork, Session] = {}  # of this process; one at most


def unload() -> None:
    """Let the model go that stays loaded in this process."""
    while _loaded:
        _loaded.popitem()[1].__exit__()


def _session(work: StoryWork) -> Session:
    """The session of this process. Raises XenonError for another model than the batch's."""
    if work in _loaded:
        return _loaded[work]
    unload()
    session = Session(work.model, work.tokenizer, work.setup)
    digest = _sha256(session)
    if digest != work.sha256:
        raise XenonError(
            f"{session.model.path}: SHA-256 {digest} big-endian here, {work.sha256} where the batch began",
            "every computer of a cluster needs the same model and tokenizer under the same path",
        )
    _loaded[work] = session.__enter__()
    return session


def _sha256(runnable: RunnableModel) -> str:
    """Of the model and of its tokenizer."""
    files = (runnable.model, runnable.tokenizer)
    return " ".join(loader.sha256(file.image(loader.ByteOrder.BIG)) for file in files)
