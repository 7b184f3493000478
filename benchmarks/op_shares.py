"""Which operations of TensorFlow a piece of work spends its time in."""

import collections
import glob
import os
import re
import tempfile
from collections.abc import Callable

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

_OPERATION = re.compile(r"[^:]+:(_Mkl(?:Native)?)?(\w+)")


def op_shares(work: Callable[[], object]) -> dict[str, float]:
    """Profiles some work.

    Args:
        work: to do once.

    Returns:
        Part of the time by type of operation, of those that take 0.5 % or more
        of it; the longest first. oneDNN's kernels count under the plain names.
    """
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            work()
        finally:
            tf.profiler.experimental.stop()
        (path,) = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
        with open(path, "rb") as file:
            space = xplane_pb2.XSpace.FromString(file.read())
    times: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines if "CPU" in plane.name else ():
            for event in line.events:
                match = _OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
                if match:
                    times[match[2]] += event.duration_ps
    total = sum(times.values())
    return {op: time / total for op, time in times.most_common() if time >= 0.005 * total}
