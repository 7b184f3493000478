"""One worker: train.py, with a record of the weights it ends with and a place to die.

    python tests/distributed_worker.py NOTE.json DIE_AT [options of train.py]

DIE_AT is the step, counted from 0, before which the process kills itself; -1 for never.
"""

import hashlib
import json
import os
import signal
import sys

import train as command
from mobilenet_tf import training
from mobilenet_tf.recorder import Recorder


def main() -> int:
    """Trains; returns the exit code."""
    note, die_at, options = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    finish, begin_batch = training._finish, Recorder.on_train_batch_begin

    def noting(job, model, record):
        weights = b"".join(array.tobytes() for array in model.get_weights())
        with open(note, "w", encoding="utf-8") as file:
            json.dump({"weights": hashlib.sha256(weights).hexdigest()}, file)
        return finish(job, model, record)

    def dying(self, batch, logs=None):
        if self._step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        begin_batch(self, batch, logs)

    training._finish, Recorder.on_train_batch_begin = noting, dying
    return command.main(options)


if __name__ == "__main__":
    sys.exit(main())
