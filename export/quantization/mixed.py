"""The search for the fewest layers in float that keep a budget."""

from collections.abc import Callable, Sequence


def fewest(meets: Callable[[int], bool], most: int) -> int | None:
    """The least number of steps, taken from the front of a list, that is enough.

    Tries 0, 1, 2, 4, ... and then bisects, so that a hundred steps take a
    dozen tries. More steps are taken to be at least as good.

    Args:
        meets: tells whether so many steps keep the budget.
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


def needed(meets: Callable[[Sequence[str]], bool], layers: Sequence[str], tries: int) -> list[str]:
    """Leaves out what a budget does without.

    Tries halves first, then smaller parts, then single layers.

    Args:
        meets: tells whether these layers keep the budget.
        layers: that do.
        tries: how many calls of `meets` it may cost.

    Returns:
        Those of them that keep it, too; if the tries were enough, none of them can be left out.
    """
    kept, size = list(layers), max(1, len(layers) // 2)
    while kept:
        before = len(kept)
        for start in reversed(range(0, before, size)):
            if not tries:
                return kept
            tries -= 1
            rest = kept[:start] + kept[start + size :]
            if meets(rest):
                kept = rest
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return kept
