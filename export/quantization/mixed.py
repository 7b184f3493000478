"""The fewest layers in float that keep a budget."""

from collections.abc import Callable


def fewest(meets: Callable[[int], bool], most: int) -> int | None:
    """The least number of layers, taken from the front of a ranking, that is enough.

    Tries 0, 1, 2, 4, ... and then bisects, so that a hundred layers take a
    dozen tries. More layers are taken to be at least as good.

    Args:
        meets: tells whether so many layers in float keep the budget.
        most: how many there are.

    Returns:
        The number; None where even all of them are not enough.
    """
    tried, enough = -1, 0
    while not meets(enough):
        if enough == most:
            return None
        tried, enough = enough, min(most, max(1, 2 * enough))
    while enough - tried > 1:
        middle = (tried + enough) // 2
        if meets(middle):
            enough = middle
        else:
            tried = middle
    return enough
