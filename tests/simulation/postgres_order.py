"""The order of one page as PostgreSQL returns it for ``ORDER BY … LIMIT … OFFSET …`` without a unique key.

If there are more than twice as many rows as the page ends at, PostgreSQL keeps the first rows in a heap (``bounded
heapsort`` in its ``tuplesort.c``), otherwise it sorts all rows. Both orders are the same at each try, but rows with
equal keys are in another order on each page, and in each direction. The order from the heap is exactly PostgreSQL's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def page_order(rows: Sequence[T], key: Callable[[T], int], bound: int) -> list[T]:
    """Return rows in the order of which a page that ends at ``bound`` shows a part.

    :param rows: as they are stored
    :param key: what is sorted by, ascending
    :param bound: ``OFFSET`` plus ``LIMIT``; the order after it does not matter
    """
    if len(rows) <= 2 * bound:
        return sorted(rows, key=key)
    heap: list[T] = []  # the row with the largest key is first
    for item in rows:
        if len(heap) < bound:
            _insert(heap, item, key)
        elif key(item) < key(heap[0]):
            _replace_first(heap, item, key)
    ordered: list[T] = []
    while heap:
        ordered.append(heap[0])
        last = heap.pop()
        if heap:
            _replace_first(heap, last, key)
    ordered.reverse()
    shown = set(map(id, ordered))
    return ordered + sorted((item for item in rows if id(item) not in shown), key=key)


def _insert(heap: list[T], item: T, key: Callable[[T], int]) -> None:
    heap.append(item)
    place = len(heap) - 1
    while place and key(item) > key(heap[(place - 1) // 2]):
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = item


def _replace_first(heap: list[T], item: T, key: Callable[[T], int]) -> None:
    place = 0
    while (child := 2 * place + 1) < len(heap):
        if child + 1 < len(heap) and key(heap[child]) < key(heap[child + 1]):
            child += 1
        if key(item) >= key(heap[child]):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = item
