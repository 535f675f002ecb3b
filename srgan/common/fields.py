"""Fields of a config's sections that need more than a type and a default."""

import math
from dataclasses import field
from typing import Any


def limits(low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> dict[str, float]:
    """A range: low <= value <= high, and value > above."""
    return {"at least": low, "above": above, "at most": high}


def number(default: float, low: float = -math.inf, high: float = math.inf, above: float = -math.inf) -> Any:
    """A numeric dataclass field with its range: low <= value <= high, and value > above."""
    return field(default=default, metadata=limits(low, high, above))
