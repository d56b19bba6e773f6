"""Names for runs that were given none: adjective-noun-number, at most 20 characters, like MLflow's."""

from __future__ import annotations

import secrets

# Words that MLflow knows too: programs tell generated names from given ones by the first word.
_ADJECTIVES = tuple(
    """
    able adaptable adorable adventurous agreeable ambitious amusing auspicious awesome beautiful big bold
    bouncy bright calm capable carefree caring charming classy clean colorful dapper dashing dazzling
    debonair delightful efficient enchanting fearless flawless fortunate fun funny gentle gifted glamorous
    gregarious honorable illustrious industrious inquisitive intelligent invincible judicious kindly learned
    legendary likeable luminous lyrical magnificent marvelous melodic monumental nimble omniscient orderly
    overjoyed peaceful persistent placid polite popular powerful rare resilient respected selective serious
    silent sincere skillful smiling spiffy stately stylish suave tasteful thoughtful treasured unique upbeat
    useful valuable victorious welcoming whimsical wise youthful zealous
    """.split(),  # noqa: SIM905  # a list of quoted words is no list to read
)
_NOUNS = tuple(
    """
    ant badger bass bear bee bird boar bream calf carp cat colt cow crab crane crow cub deer doe dog dolphin
    dove duck eagle eel elk emu falcon finch fish flea fly foal fowl fox frog gnat gnu goat goose grouse
    gull hare hawk hen heron hog horse hound jay kite koi lamb lark loon lynx mare mink mole moose moth
    mouse mule newt otter owl ox panda perch pig pug quail ram rat raven rook seal shad shark sheep shrew
    shrike skink skunk sloth smelt snail snipe sow squid stag stork swan tern toad trout vole wasp whale
    wolf wren yak zebra
    """.split(),  # noqa: SIM905  # a list of quoted words is no list to read
)


_LETTERS = 20 - len("--999")


def random_name() -> str:
    """Return a fresh name; all of them fit into 20 characters."""
    adjective = secrets.choice(_ADJECTIVES)
    nouns = [noun for noun in _NOUNS if len(adjective) + len(noun) <= _LETTERS]
    return f"{adjective}-{secrets.choice(nouns)}-{secrets.randbelow(1000)}"
