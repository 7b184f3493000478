"""The untrained network of a run as a .keras file of Keras 3, for runs that train on tf_keras.

    python -m mobilenet_tf.plain_model RUN MODEL.keras

tf_keras writes no file that Keras 3 reads. So the file is made by Keras 3, in a
process of its own, and gets its weights from `weights.rewrite_weights`. It also
holds the random weights that the run would begin with on Keras 3.
"""

import argparse
import sys

from mobilenet_tf import cli, files, legacy, model_labels, processes, runs

_TIMEOUT_S = 600.0  # A cluster's file system can take long to import TensorFlow from.


def make(run: str, path: str) -> None:
    """Writes the file, from a process that uses tf_keras.

    Args:
        run: its folder, with config.json.
        path: of the file to write.

    Raises:
        WorkError: the process failed.
    """
    # The cluster and the GPUs are this process's own.
    environment = {legacy.SWITCH: "0", "TF_CONFIG": "", "CUDA_VISIBLE_DEVICES": "-1"}
    done = processes.run_module(
        "mobilenet_tf.plain_model", [run, path], _TIMEOUT_S, environment=environment
    )
    if done.returncode:
        raise cli.WorkError(f"Keras 3 could not write the network: {processes.last_error(done)}")


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("run", metavar="RUN", help="a run folder")
    parser.add_argument("path", metavar="MODEL.keras", help="the file to write")
    return parser.parse_args(argv)


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Writes the file; returns the exit code."""
    args = _parse_args(argv)
    from mobilenet_tf.job import untrained_model  # Keras: slow to import, not for --help.

    config, content = runs.read_config(args.run)
    model = untrained_model(config, len(content["class_names"]), content["resolved"]["bn_momentum"])
    with files.replacing(args.path) as temporary:
        model.save(temporary)
        model_labels.embed(temporary, content["class_names"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
