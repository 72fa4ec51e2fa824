"""Genres of six films."""

N_ITEMS = 6
GENRES: dict[int, tuple[str, ...]] = {
    0: ("Drama",),
    1: ("Drama", "War"),
    2: ("Comedy",),
    3: ("Comedy", "Drama"),
    4: ("Horror",),
    5: (),
}
