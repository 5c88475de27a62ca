"""Seeded generator of small children's stories: the bundled model's training data, all of it our own text.

A story is an opening, a plot's beginning, the plot's sentences and sometimes a sleepy ending. Plots
(story_plots.txt) are written in a small language: [a|b] chooses, {x} is a slot filled from the story's cast,
the same from the first sentence to the last.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import story_words as words
from story_plots import Plot, load_plots

MIN_WORDS, MAX_WORDS = 60, 109
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SPEECH_TAG = r"(?!said |asked )"


@dataclass(frozen=True)
class Character:
    """A hero or friend. `name` is used in sentences, `called` when spoken to, `is_a` after "I am"."""

    name: str
    called: str
    is_a: str
    kind: str
    male: bool
    sleepy: bool
    animal: bool


@dataclass(frozen=True)
class Story:
    """A finished story and what it was made from."""

    text: str
    plot: str
    opening: str
    hero: Character
    friend: Character


def _child(rng: random.Random, male: bool, sleepy: bool, taken: str = "") -> Character:
    if sleepy:
        name = rng.choice(words.SLEEPY_BOYS if male else words.SLEEPY_GIRLS)
    else:
        name = rng.choice([n for n in (words.BOYS if male else words.GIRLS) if n != taken])
    full = f"Sleepy {name}" if sleepy else name
    return Character(full, rng.choice([name, full]), full, "boy" if male else "girl", male, sleepy, False)


def _animal(rng: random.Random, male: bool) -> Character:
    kind = rng.choice([k for k, (is_he, _) in words.ANIMALS.items() if is_he == male])
    adjective = rng.choice(words.ANIMALS[kind][1])
    called = f"little {kind}" if adjective == "little" else kind
    return Character(
        f"the {adjective} {kind}", called, f"a {adjective} {kind}", kind, male, adjective == "sleepy", True
    )


def _familiar(name: str, kind: str, male: bool) -> Character:
    """A character of words.PAIRS."""
    animal = name.startswith("the ")
    called = name.removeprefix("Sleepy ").removeprefix("the ")
    is_a = name.replace("the ", "a ")
    return Character(name, called, is_a, kind, male, name.startswith("Sleepy"), animal)


def make_cast(rng: random.Random, free: bool = False) -> tuple[Character, Character]:
    """A hero and a friend; one is a he and the other a she, so that every pronoun has one meaning.

    They are one of words.PAIRS, or if `free` anybody with anybody.
    """
    if not free:
        pair = rng.choices(words.PAIRS, [weight for *_, weight in words.PAIRS])[0]
        return _familiar(*pair[0]), _familiar(*pair[1])
    draw = rng.random()
    if draw < 0.50:
        hero = _child(rng, rng.random() < 0.85, sleepy=True)
    elif draw < 0.88:
        hero = _child(rng, rng.random() < 0.42, sleepy=False)
    else:
        hero = _animal(rng, rng.random() < 0.5)
    friend = _animal(rng, not hero.male) if rng.random() < 0.1 else _child(rng, not hero.male, sleepy=False)
    return hero, friend


def make_slots(rng: random.Random, plot: Plot, hero: Character, friend: Character) -> dict[str, str]:
    """Everything that a sentence can name, chosen once for the whole story."""
    where = plot.options.get("where", "out")
    place = words.PLACES[where if where in words.PLACES else rng.choice(sorted(words.PLACES))]
    spot, other_spot = rng.sample(place.spots, 2)
    home_spot, other_home_spot = rng.sample(words.HOME_SPOTS, 2)
    toys = [
        toy for toy in words.TOYS[plot.options.get("toy", "any")] if toy[1] not in (hero.kind, friend.kind)
    ]
    toy, noun = rng.choice(toys)
    color, other_color = rng.sample(words.COLORS, 2)
    bystander, other_bystander = rng.sample(
        [a for a in words.BYSTANDERS if a not in (hero.kind, friend.kind)], 2
    )
    food, other_food = rng.sample(words.BAKED if where == "home" else words.FOODS, 2)
    parent = rng.choice(words.PARENTS)
    male, friend_male = hero.male, friend.male
    his = "his" if male else "her"
    return {
        "H": hero.name,
        "Hn": hero.called,
        "hn": hero.is_a,
        "H_s": f"{hero.name}'s",
        "he": "he" if male else "she",
        "him": "him" if male else "her",
        "his": his,
        "hand": "paw" if hero.animal else "hand",
        "F": friend.name,
        "Fn": friend.called,
        "F_s": f"{friend.name}'s",
        "fe": "he" if friend_male else "she",
        "fim": "him" if friend_male else "her",
        "fis": "his" if friend_male else "her",
        "fhand": "paw" if friend.animal else "hand",
        "F1": f"{his} friend {friend.name}",
        "Fnew": friend.is_a if friend.animal else f"a {friend.kind} named {friend.name}",
        "p": parent,
        "P": parent.capitalize(),
        "place": place.name,
        "in": place.inside,
        "seat": place.seat,
        "s1": spot,
        "s2": other_spot,
        "h1": home_spot,
        "h2": other_home_spot,
        "o": f"{rng.choice(words.TOY_ADJECTIVES)} {toy}",
        "n": noun,
        "c": color,
        "c2": other_color,
        "a": bystander,
        "a2": other_bystander,
        "food": food,
        "food2": other_food,
        "bake": rng.choice(words.BAKED),
        "fur": rng.choice(words.FURS),
        "flower": rng.choice(words.FLOWER_COLORS),
        "skill": rng.choice(words.SKILLS),
        "pet": rng.choice(words.PETS),
    }


def expand(rng: random.Random, template: str, slots: dict[str, str]) -> str:
    """Take every choice in the template, innermost first, and fill in the slots."""
    while match := _CHOICE.search(template):
        template = template[: match.start()] + rng.choice(match.group(1).split("|")) + template[match.end() :]
    return template.format_map(slots)


def tidy(text: str) -> str:
    """Single spaces, capitals at the start of sentences and of speech, "an" before a vowel."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    capital = rf'(^"?|[.!?] "?|\." |[!?]" {_SPEECH_TAG}|, "|" ")([a-z])'
    return re.sub(capital, lambda m: m.group(1) + m.group(2).upper(), text)


def length(text: str) -> int:
    """Words, with Sleepy Joe as one."""
    return len(text.replace("Sleepy ", "").split())


def _introduce(rng: random.Random, hero: Character) -> tuple[str, str]:
    """The name of an opening and its sentences that introduce the hero."""
    if hero.animal:
        who = hero.is_a
    elif hero.sleepy:
        short = hero.name.removeprefix("Sleepy ")
        who = rng.choice([f"a {hero.kind} named {hero.name}", f"a sleepy {hero.kind} named {short}"])
    else:
        who = f"a [little|{rng.choice(words.GOOD_TRAITS)}] {hero.kind} named {hero.name}"
    opening, sentence = rng.choice(
        [
            *[("once upon a time", f"Once upon a time, there was {who}.")] * 3,
            ("there was", f"[There once was|There was once] {who}."),
            (
                "in a house",
                f"In [a|a|the] [small|little|big] house {rng.choice(words.HOMES)}, there lived {who}.",
            ),
            ("long ago", f"[Long ago|A long time ago], there was {who}."),
            (
                "lived",
                f"{hero.is_a if hero.animal else '{H}'} lived in a [small|little|big] house "
                f"{rng.choice(words.HOMES)}.",
            ),
            (
                "was a",
                f"{{H}} was a {'very sleepy' if hero.sleepy else rng.choice(words.GOOD_TRAITS)} {hero.kind}.",
            ),
        ]
    )
    return opening, sentence


def _trait(rng: random.Random, hero: Character) -> str:
    if hero.sleepy:
        return str(rng.choice(words.SLEEPY_TRAITS))
    like = rng.choice(words.LIKES).replace("{p}", "{his} {p}")
    return f"{{he}} [liked|loved] {like}."


def _opening(
    rng: random.Random, plot: Plot, hero: Character, friend: Character, slots: dict[str, str]
) -> tuple[str, list[str]]:
    """The opening's name and the templates of everything before the plot's body."""
    flags = plot.options
    night = "night" in flags
    day = "One night, " if night else rng.choice(["One day, ", "One day, ", "One day, ", "One morning, "])
    if not night and "calm" not in flags:
        day = rng.choice([day, day, "One sunny day, ", "One warm day, "])
    start = plot.said if rng.random() < (0.5 if hero.sleepy else 0.35) else plot.setup
    draw = rng.random()
    if draw < 0.15:
        return ("said" if start is plot.said else "plain"), [start]
    if draw < 0.23:
        if not night and rng.random() < 0.25:
            day = "In the morning, "
        return day.strip(" ,").lower(), [day + start]
    if draw < 0.31 and plot.lead:
        return "had", [plot.lead, day + plot.setup]
    if draw < 0.37 and "friend" in flags and "new" not in flags:
        slots["F1"] = friend.name
        liked = rng.choice(
            [
                "They liked to play together.",
                "They played together every day.",
                "They did everything together.",
            ]
        )
        return "friends", [f"{{H}} and {{F}} were [good|best] friends. {liked}", day + start]
    if draw < 0.44 and not night and "calm" not in flags:
        weather = rng.choice(
            [
                "It was a [sunny|warm|nice|beautiful] day.",
                "The sun was [bright|warm|out], and the sky was blue.",
                "It was a [sunny|warm|nice] morning.",
            ]
        )
        return "weather", [weather, start]
    opening, intro = _introduce(rng, hero)
    if start.startswith("{H} ") and not start.startswith("{H} and") and rng.random() < 0.4:
        start = "{he}" + start.removeprefix("{H}")
    trait = _trait(rng, hero) if rng.random() < 0.35 else ""
    return opening, [intro, trait, day + start]


def make_story(rng: random.Random, plots: list[Plot], free_cast: bool = False) -> Story:
    """One story; its length is between MIN_WORDS and MAX_WORDS words."""
    plot = rng.choice(plots)
    while True:
        hero, friend = make_cast(rng, free_cast)
        slots = make_slots(rng, plot, hero, friend)
        opening, templates = _opening(rng, plot, hero, friend, slots)
        for sentence in plot.body:
            if sentence != "@yawn":
                templates.append(sentence)
            elif hero.sleepy and rng.random() < 0.3:
                templates.append("{H} [yawned|was so sleepy|yawned a big yawn].")
        if (
            hero.sleepy
            and "sleeps" not in plot.options
            and "sleepy" not in plot.options
            and rng.random() < 0.4
        ):
            templates.append(
                "[Then|And then|After that,] {H} [yawned and fell asleep|went to sleep|"
                "yawned and went to bed]."
            )
        text = tidy(" ".join(expand(rng, template, slots) for template in templates))
        if MIN_WORDS <= length(text) <= MAX_WORDS:
            return Story(text, plot.name, opening, hero, friend)


def stories(seed: int, free_cast: bool = False) -> Iterator[Story]:
    """An endless stream of stories; the same seed gives the same stories. `free_cast`: see make_cast."""
    rng = random.Random(seed)
    plots = load_plots()
    while True:
        yield make_story(rng, plots, free_cast)
