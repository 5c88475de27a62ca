"""The story generator: same seed same stories, plain ASCII, bounded, coherent, varied. Needs no torch."""

from __future__ import annotations

import re
import sys
from itertools import islice
from pathlib import Path

import pytest
from support import WHOLE

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "training"))

import story_grammar as grammar  # noqa: E402
import story_words as words  # noqa: E402
from story_plots import load_plots  # noqa: E402

QUESTION = re.compile(
    r"(?:(?:mom|dad|grandma|grandpa|oh no), )?"
    r"(?:what (?!a )|where |why |who |did |do you|can |is |are |will )"
)


@pytest.fixture(scope="module")
def many() -> list[grammar.Story]:
    return list(islice(grammar.stories(360), 3000 if WHOLE else 1200))


@pytest.fixture(scope="module")
def free() -> list[grammar.Story]:
    return list(islice(grammar.stories(360, free_cast=True), 300))


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_the_same_seed_gives_the_same_stories_and_another_seed_gives_others(
    many: list[grammar.Story],
) -> None:
    assert list(islice(grammar.stories(360), 50)) == many[:50]
    assert [story.text for story in islice(grammar.stories(361), 50)] != [story.text for story in many[:50]]


def test_stories_are_one_line_of_plain_ascii_with_every_slot_and_choice_filled(
    many: list[grammar.Story],
) -> None:
    for story in many:
        assert re.fullmatch(r"[A-Za-z ,.!?'\"]+", story.text), story.text


def test_every_story_has_a_bounded_length(many: list[grammar.Story]) -> None:
    lengths = [grammar.length(story.text) for story in many]
    assert min(lengths) >= grammar.MIN_WORDS
    assert max(lengths) <= grammar.MAX_WORDS


def test_hero_and_friend_never_share_a_pronoun(many: list[grammar.Story], free: list[grammar.Story]) -> None:
    assert all(story.hero.male != story.friend.male for story in many + free)


def test_friends_are_always_the_same_unless_the_cast_is_free(
    many: list[grammar.Story], free: list[grammar.Story]
) -> None:
    pairs = {(story.hero.name, story.friend.name) for story in many}
    assert pairs == {(hero[0], friend[0]) for hero, friend, _ in words.PAIRS}
    assert len({(story.hero.name, story.friend.name) for story in free}) > 50


def test_sleepy_joe_is_the_most_frequent_hero(many: list[grammar.Story]) -> None:
    assert sum(story.hero.name == "Sleepy Joe" for story in many) > len(many) / 2


def test_a_story_without_friend_or_snowman_uses_only_the_heros_pronouns(many: list[grammar.Story]) -> None:
    alone = [story for story in many if story.friend.name.lower() not in story.text.lower()]
    assert len(alone) > 300
    for story in alone:
        wrong = {"she", "her"} if story.hero.male else {"he", "him", "his"}
        assert not wrong & set(words_of(story.text)), story.text


def test_the_lost_toy_is_the_one_that_is_found(many: list[grammar.Story]) -> None:
    toys = {noun for group in words.TOYS.values() for _, noun in group}
    for story in many:
        if story.plot == "lost_toy":
            named = toys & set(words_of(story.text)) - {story.hero.kind, story.friend.kind}
            assert len(named - {"boat"}) == (0 if named == {"boat"} else 1), (
                story.text
            )  # there is an old boat, too


def test_a_story_stays_in_one_place(many: list[grammar.Story]) -> None:
    insides = [place.inside for place in words.PLACES.values()]
    assert all(
        sum(inside in story.text for inside in insides) <= 1 for story in many if story.plot != "toy_boat"
    )


def test_sentences_and_speech_start_with_capitals_and_end_with_marks(many: list[grammar.Story]) -> None:
    for story in many:
        assert story.text[0].isupper() or story.text[0] == '"'
        assert story.text.endswith((".", "!", "?", '"'))
        assert story.text.count('"') % 2 == 0
        assert not re.search(r"[.!?] [a-z]|\s[,.!?]|  ", story.text), story.text
        assert all(speech[0].isupper() for speech in re.findall(r'"([^"]+)"', story.text)), story.text


def test_articles_fit_the_next_word(many: list[grammar.Story]) -> None:
    for story in many:
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", story.text), story.text


def test_no_word_is_written_twice_in_a_row(many: list[grammar.Story]) -> None:
    assert all(not re.search(r"\b(\w+) \1\b", story.text) for story in many)


def test_questions_end_with_question_marks_and_are_asked(many: list[grammar.Story]) -> None:
    for story in many:
        for speech, tag in re.findall(r'"([^"]+)" ?(\w*)', story.text):
            last = re.split(r"[.!?] ", speech)[-1]
            assert bool(QUESTION.match(last.lower())) == speech.endswith("?"), story.text
            assert (tag == "asked") <= speech.endswith("?"), story.text
            assert (tag == "said") <= (not speech.endswith("?")), story.text


def test_there_are_many_plots_and_each_is_used(many: list[grammar.Story]) -> None:
    plots = {plot.name for plot in load_plots()}
    assert len(plots) >= 20
    assert {story.plot for story in many} == plots


def test_nearly_all_stories_are_different(many: list[grammar.Story]) -> None:
    assert len({story.text for story in many}) > 0.99 * len(many)


def test_stories_open_in_many_ways(many: list[grammar.Story]) -> None:
    starts = [" ".join(story.text.split()[:3]) for story in many]
    assert len(set(starts)) > 100
    for start in ("Sleepy Joe said,", "Once upon a", "Sleepy Joe was", "In a small", "It was a"):
        assert start in starts, start
    assert any(start.startswith("Lily said,") for start in starts)
    assert any(start.startswith("The little") for start in starts)
    assert any(start.startswith("One day,") for start in starts)


def test_the_lexicon_is_modest(many: list[grammar.Story]) -> None:
    assert 400 < len({word for story in many for word in words_of(story.text)}) < 900


def test_a_plot_line_that_is_not_understood_is_refused_with_its_number(tmp_path: Path) -> None:
    bad = tmp_path / "plots.txt"
    bad.write_text("== one\nsetup: x\nnonsense\n", encoding="ascii")
    with pytest.raises(ValueError, match="line 3"):
        load_plots(bad)
