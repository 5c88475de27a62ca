"""The lexicon of the bundled model's stories: characters, places, things. Plots: story_plots.txt."""

from __future__ import annotations

from dataclasses import dataclass

BOYS = "Joe Tom Tim Ben".split()  # each is one piece of the tokenizer: a small model can copy it
GIRLS = "Lily Mia Anna Sue Lucy".split()
SLEEPY_BOYS = ["Joe", "Joe", "Joe", "Joe", "Joe", "Joe", "Joe", "Tom", "Ben"]  # Sleepy Joe is the flagship
SLEEPY_GIRLS = ["Sue", "Mia", "Lucy"]
# The bundled model's cast: hero, friend, and how often. Always the same friends, so that a very small
# model learns who is who; each is (name, kind, is a he).
PAIRS: list[tuple[tuple[str, str, bool], tuple[str, str, bool], int]] = [
    (("Sleepy Joe", "boy", True), ("Lily", "girl", False), 68),
    (("Lily", "girl", False), ("Tom", "boy", True), 14),
    (("Ben", "boy", True), ("Mia", "girl", False), 8),
    (("Sue", "girl", False), ("Tim", "boy", True), 8),
    (("the little dog", "dog", True), ("Anna", "girl", False), 7),
    (("the little cat", "cat", False), ("Joe", "boy", True), 7),
]
# kind of animal: (is it a he?, its adjectives). Each has paws, so that hands and paws can be told apart.
ANIMALS: dict[str, tuple[bool, list[str]]] = {
    "dog": (True, ["little", "brown", "big", "sleepy"]),
    "rabbit": (True, ["little", "white"]),
    "bear": (True, ["little", "big", "sleepy"]),
    "cat": (False, ["little", "white", "black", "sleepy"]),
    "mouse": (False, ["little", "gray"]),
    "fox": (False, ["little", "red"]),
}
BYSTANDERS = (
    "frog bird mouse rabbit squirrel turtle duck pig".split()
)  # always "it", never the hero's or friend's kind
PARENTS = ["mom", "mom", "dad", "dad", "grandma"]
PETS = ["Spot", "Lucky", "Buddy"]

COLORS = "red blue green yellow white brown".split()
FLOWER_COLORS = "red blue yellow white".split()
FURS = "white brown black gray".split()
TOY_ADJECTIVES = ["red", "blue", "green", "yellow", "little", "big", "new", "pretty"]
# name with its noun, and what it is fit for
TOYS: dict[str, list[tuple[str, str]]] = {
    "hard": [
        ("toy car", "car"),
        ("toy train", "train"),
        ("toy boat", "boat"),
        ("doll", "doll"),
        ("drum", "drum"),
        ("robot", "robot"),
    ],
    "soft": [("teddy bear", "bear"), ("doll", "doll"), ("ball", "ball"), ("puppet", "puppet")],
    "small": [
        ("toy car", "car"),
        ("toy train", "train"),
        ("doll", "doll"),
        ("ball", "ball"),
        ("robot", "robot"),
        ("puppet", "puppet"),
    ],
}
TOYS["any"] = sorted(set(TOYS["hard"] + TOYS["soft"] + TOYS["small"]))
FOODS = "cake pie cookie apple sandwich pear banana muffin".split()
BAKED = "cake pie cookie muffin".split()
SKILLS = ["sing", "ride a bike", "climb a tree", "dance", "jump rope", "skate", "throw a ball"]


@dataclass(frozen=True)
class Place:
    """A place outside: how to name it, how to be in it, where one sits there and where things hide."""

    name: str
    inside: str
    seat: str
    spots: tuple[str, ...]


PLACES: dict[str, Place] = {
    "park": Place(
        "the park",
        "in the park",
        "on a bench",
        ("under the bench", "behind the big tree", "under the slide", "behind the bush"),
    ),
    "garden": Place(
        "the garden",
        "in the garden",
        "on the grass",
        ("behind the bush", "under the big leaves", "behind the gate", "next to the flowers"),
    ),
    "beach": Place(
        "the beach",
        "at the beach",
        "on the sand",
        ("behind the rock", "under the old boat", "behind the big box"),
    ),
    "forest": Place(
        "the forest",
        "in the forest",
        "on a log",
        ("behind the rock", "behind the big tree", "under the leaves", "behind the log"),
    ),
    "farm": Place(
        "the farm",
        "on the farm",
        "on the hay",
        ("behind the barn", "under the hay", "behind the gate", "under the old cart"),
    ),
    "lake": Place(
        "the lake",
        "by the lake",
        "on a rock",
        ("behind the rock", "under the bridge", "behind the bush", "under the old boat"),
    ),
}
HOME_SPOTS = ["under the bed", "behind the door", "under the table", "behind the chair", "in the big box"]
HOMES = ["by the sea", "on a hill", "near the forest", "next to the lake", "in a little town"]
LIKES = [
    "to play outside",
    "to sing",
    "to run and jump",
    "to eat cake",
    "to read books",
    "to look at the stars",
    "to help {p}",
    "to make new friends",
]
SLEEPY_TRAITS = [
    "{he} was always sleepy.",
    "{he} liked to sleep all day.",
    "{he} could sleep [anywhere|on a chair or on a log].",
    "{he} yawned all the time.",
    "{he} liked to sleep more than anything.",
]
GOOD_TRAITS = ["kind", "happy", "brave", "good", "funny", "nice"]
