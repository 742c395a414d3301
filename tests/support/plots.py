"""Reports of methods that were never measured, as plots take them."""

import hashlib
import io

from colddiff.utils.statistics import MethodRow, SeedStats


def compared(**by_method):
    """Rows from {method: {calls: (rmse of each seed, kid of each seed)}}."""
    return [
        MethodRow(method, calls, calls / 1000, {"rmse": SeedStats(rmse), "kid": SeedStats(kid)})
        for method, cells in by_method.items()
        for calls, (rmse, kid) in cells.items()
    ]


ROWS = compared(
    degraded={0: ((0.9,), (9.0,))},
    one_shot={1: ((0.1, 0.12), (0.5, 0.6))},
    naive={5: ((0.2, 0.3, 0.25), (0.9, 1.0)), 20: ((0.3, 0.6, 0.3), (1.0, 3.0))},
)


def reported(method, start, calls, rmse, **perception):
    value = {"global": rmse, "mean": rmse, "low": rmse - 0.01, "high": rmse + 0.02}
    return {"method": method, "start": start, "calls": calls, "rmse": value, **perception}


REPORT = [
    reported(method, start, calls, start * rmse, fid=7.0, kid={"mean": kid, "std": 0.01})
    for start in (0.5, 1.0)
    for method, calls, rmse, kid in (
        ("degraded", 0, 0.9, 99.0), ("wiener", 0, 0.3, 0.5), ("one_shot", 1, 0.1, 0.2), ("naive", 5, 0.12, 0.11),
        ("naive", 20, 0.3, 0.1), ("naive (oracle)", 20, 0.2, 0.1),
    )
]  # fmt: skip


def drawn(figure, suffix="png"):
    """A hash of what a figure looks like."""
    stream = io.BytesIO()
    figure.savefig(stream, format=suffix)
    return hashlib.sha256(stream.getvalue()).hexdigest()
