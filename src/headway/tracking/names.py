"""Names for runs that were given none: adjective-noun-number, at most 20 characters, like MLflow's."""

from __future__ import annotations

import secrets

_ADJECTIVES = tuple(
    """
    able agile amber apt azure bold brave brisk bright calm candid clean clever cosmic crisp dapper deft
    eager early earnest fair fleet fond frank fresh gentle gifted glad golden grand handy hardy honest
    humble jolly keen kind late lively lucid lucky mellow merry mighty mild neat nimble noble open patient
    plain polite prime proud quick quiet rapid rare ready rugged sage serene sharp silent smart snug solid
    spry stately steady sturdy sunny swift tidy tidal upbeat useful valid vivid warm wise witty young zesty
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


def random_name() -> str:
    """Return a fresh name; all of them fit into 20 characters."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
