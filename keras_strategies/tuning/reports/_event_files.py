"""Event files for TensorBoard's HParams dashboard, on every backend."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from keras_strategies.tuning.reports._hyperparameter_axes import (
    Axis,
    NumericAxis,
    is_number,
)

_STATUS = {
    "COMPLETED": "STATUS_SUCCESS",
    "PRUNED": "STATUS_SUCCESS",
    "FAILED": "STATUS_FAILURE",
    "INVALID": "STATUS_FAILURE",
    "INFEASIBLE": "STATUS_FAILURE",
    "RUNNING": "STATUS_RUNNING",
}


def write(
    folder: str | os.PathLike[str], name: str, summaries: Iterable[tuple[int, Any]]
) -> None:
    """Replaces one event file in `folder` by `(step, summary)` pairs."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    # TensorBoard reads files with "tfevents" in their names, in the order of the names.
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"events.out.tfevents.0.{name}")
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    now = time.time()
    with open(partial, "wb") as file:
        writer = RecordWriter(file)
        head = event_pb2.Event(wall_time=now, file_version="brain.Event:2")
        writer.write(head.SerializeToString())
        for step, summary in summaries:
            event = event_pb2.Event(wall_time=now, step=step, summary=summary)
            writer.write(event.SerializeToString())
    os.replace(partial, path)


def scalar(tag: str, value: float) -> Any:
    """The summary of one number."""
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)]
    )


def _summary(tag: str, **content: Any) -> Any:
    """A summary of the HParams plugin."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**content)
    value = summary_pb2.Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


def experiment(
    axes: Sequence[Axis], metrics: Iterable[str], description: str = ""
) -> Any:
    """The hyperparameters with their ranges, and the metrics to show."""
    from tensorboard.plugins.hparams import api_pb2, metadata

    # Written once, to the folder above those of the trials.
    infos = []
    for axis in axes:
        kind, convert = _kind(axis)
        info = api_pb2.HParamInfo(name=axis.name, type=f"DATA_TYPE_{kind}")
        if isinstance(axis, NumericAxis):
            info.domain_interval.min_value = axis.low
            info.domain_interval.max_value = axis.high
        else:
            info.domain_discrete.extend([convert(value) for value in axis.values])
        infos.append(info)
    metric_infos = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name), display_name=name)
        for name in metrics
    ]
    message = api_pb2.Experiment(
        hparam_infos=infos,
        metric_infos=metric_infos,
        description=description,
        time_created_secs=time.time(),
    )
    return _summary(metadata.EXPERIMENT_TAG, experiment=message)


def session_start(
    axes: Sequence[Axis], values: Mapping[str, Any], trial_id: str, seconds: float
) -> Any:
    """The values of a trial; `values` has those of active hyperparameters only."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(
        group_name=trial_id, start_time_secs=seconds
    )
    fields = {"BOOL": "bool_value", "FLOAT64": "number_value", "STRING": "string_value"}
    for axis in axes:
        if axis.name in values:
            kind, convert = _kind(axis)
            setattr(info.hparams[axis.name], fields[kind], convert(values[axis.name]))
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def session_end(status: str, seconds: float) -> Any:
    """The status of a trial and the time of its end."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionEndInfo(status=_STATUS[status], end_time_secs=seconds)
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def _kind(axis: Axis) -> tuple[str, Callable[[Any], Any]]:
    """Type of a hyperparameter for the dashboard, and the conversion of its values."""
    if isinstance(axis, NumericAxis):
        return "FLOAT64", float
    if all(isinstance(value, bool) for value in axis.values):
        return "BOOL", bool
    if all(map(is_number, axis.values)):
        return "FLOAT64", float
    return "STRING", str
