"""Files that TensorBoard's HParams dashboard reads, on every backend."""

import os
import time

from keras_strategies.tuning.reports import _axes as _dimensions

STATUS = {
    "COMPLETED": "STATUS_SUCCESS",
    "PRUNED": "STATUS_SUCCESS",
    "FAILED": "STATUS_FAILURE",
    "INVALID": "STATUS_FAILURE",
    "RUNNING": "STATUS_RUNNING",
}


def write(folder, name, summaries):
    """Replaces one event file in `folder` by `(step, summary)` pairs."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

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


def scalar(tag, value):
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)]
    )


def _summary(tag, **content):
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**content)
    value = summary_pb2.Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


def experiment(axes, metrics, description=""):
    """The hyperparameters with their ranges, and the metrics to show."""
    from tensorboard.plugins.hparams import api_pb2, metadata

    infos = []
    for axis in axes:
        kind, plain = _kind(axis)
        info = api_pb2.HParamInfo(name=axis.name, type=f"DATA_TYPE_{kind}")
        if isinstance(axis, _dimensions.Numbers):
            info.domain_interval.min_value = axis.low
            info.domain_interval.max_value = axis.high
        else:
            info.domain_discrete.extend([plain(value) for value in axis.values])
        infos.append(info)
    shown = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name), display_name=name)
        for name in metrics
    ]
    made = api_pb2.Experiment(
        hparam_infos=infos,
        metric_infos=shown,
        description=description,
        time_created_secs=time.time(),
    )
    return _summary(metadata.EXPERIMENT_TAG, experiment=made)


def session_start(axes, values, trial_id, seconds):
    """The values of a trial; `values` has those of active hyperparameters only."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(
        group_name=trial_id, start_time_secs=seconds
    )
    fields = {"BOOL": "bool_value", "FLOAT64": "number_value", "STRING": "string_value"}
    for axis in axes:
        if axis.name in values:
            kind, plain = _kind(axis)
            setattr(info.hparams[axis.name], fields[kind], plain(values[axis.name]))
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def session_end(status, seconds):
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionEndInfo(status=STATUS[status], end_time_secs=seconds)
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def _kind(axis):
    """Type of a hyperparameter for the dashboard, and what makes a value one."""
    if isinstance(axis, _dimensions.Numbers):
        return "FLOAT64", float
    if all(isinstance(value, bool) for value in axis.values):
        return "BOOL", bool
    if all(map(_dimensions.is_number, axis.values)):
        return "FLOAT64", float
    return "STRING", str
