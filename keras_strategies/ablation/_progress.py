"""Progress of a study on the terminal, with the time left."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Update = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def progress(verbose: int, title: str, total: int) -> Iterator[Update]:
    """A bar that moves with each training; with `verbose=2` a line for each.

    Args:
        verbose: `0` shows nothing.
        title: Text in front of the bar.
        total: Most trainings that may come.
    """
    if not verbose:
        yield lambda record: None
        return
    # Imported here: the package is imported far more often than a study runs.
    import rich.console
    import rich.progress

    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.TextColumn("{task.completed} of at most {task.total:.0f}"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("at most"),
        rich.progress.TimeRemainingColumn(compact=True),
        rich.progress.TextColumn("left"),
    )
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)

        def update(record: dict[str, Any]) -> None:
            if "remaining" in record:
                done = bar.tasks[task].completed
                bar.update(task, total=done + record["remaining"])
                return
            bar.advance(task)
            if verbose > 1:
                console.print(_line(record), markup=False, highlight=False)

        yield update


def _line(record):
    name = f"{record['arm']}, run {record['run']}"
    if "error" in record:
        return f"{name}: failed, {record['error']}"
    return f"{name}: {record['value']:.4f} in {record['total_seconds']:.1f} s"
