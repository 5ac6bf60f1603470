"""`keras-strategies launch`: a script in several processes that train one model."""

import argparse
import contextlib
import json
import os
import sys

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError

EXAMPLE = """script:
  a Python script that trains inside keras_strategies.training.distributed.scope().
  With ResumableTraining it goes on from its last checkpoint after a restart.

hosts:
  run the same command on each host. The launchers of the others join that of the
  first one at --port. In an indexed job of Kubernetes or Slurm, and where the
  addresses tell, --host-index is not needed. The connections, also those of the
  engines, are neither encrypted nor authenticated: use a private network.

json:
  --json before SCRIPT: standard output is one line at the end, with the exit code
  and, for each start of the group, the exit codes of the processes by rank (null:
  ended by the launcher after another had failed). What the processes print, also
  on standard output, goes to standard error.

exit codes:
  that of the script: 0, or that of the process that failed first (128 + the number
  of the signal that ended it); 2 bad use, 143 after SIGTERM.

examples:
  keras-strategies launch --workers 2 train.py --epochs 10
  keras-strategies launch --workers 2 --json train.py > ended.json
  keras-strategies launch --hosts 10.0.0.1,10.0.0.2 --workers 4 train.py
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "launch",
        help="a script in several processes that train one model",
        description=(
            "Starts a training script in a group of processes, for JAX or TensorFlow, "
            "prints their lines behind their ranks, and restarts the whole group when "
            "one of them has died. SIGTERM is passed on."
        ),
        epilog=EXAMPLE,
    )
    _add_options(parser)
    common.add_json(parser, "print one JSON line at the end, and nothing else")
    parser.add_argument("script", metavar="SCRIPT", help="see below")
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="arguments of the script",
    )
    parser.set_defaults(run=run, needs_package=False)


def _add_options(parser):
    whole, seconds = common.whole_number, common.positive_number
    parser.add_argument(
        "--workers",
        type=whole(1, 10_000),
        default=1,
        metavar="N",
        help="processes on each host (1)",
    )
    parser.add_argument(
        "--hosts", metavar="A,B", help="addresses of the hosts (this one alone)"
    )
    parser.add_argument(
        "--host-index",
        type=whole(0, 10_000),
        metavar="I",
        help="which of them this is, from 0 (found out)",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "jax", "tensorflow"),
        default="auto",
        help="auto: the backend of Keras",
    )
    parser.add_argument(
        "--max-restarts",
        type=whole(0, 10**6),
        default=3,
        metavar="N",
        help="restarts of the group (3)",
    )
    parser.add_argument(
        "--port",
        type=whole(1, 65535),
        default=29400,
        metavar="P",
        help="of the first host, for the launchers of the others (29400)",
    )
    for name, default, text in (
        ("join-timeout", 300.0, "to wait for the other hosts (300)"),
        ("heartbeat-timeout", 10.0, "of silence until a host is lost (10)"),
        ("grace-period", 30.0, "from SIGTERM until processes are killed (30)"),
    ):
        parser.add_argument(
            f"--{name}",
            type=seconds,
            default=default,
            metavar="SECONDS",
            help=f"seconds {text}",
        )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    from keras_strategies._internal.launcher.member import Refused
    from keras_strategies._internal.launcher.run import run_group
    from keras_strategies._internal.launcher.supervisor import Limits

    if not os.path.isfile(arguments.script):
        raise UsageError(f"{arguments.script} is not a file.")
    limits = Limits(
        arguments.max_restarts,
        arguments.join_timeout,
        arguments.heartbeat_timeout,
        arguments.grace_period,
    )
    hosts = arguments.hosts and arguments.hosts.split(",")
    # The processes' lines go to what is standard output while they run.
    screen = sys.stderr if arguments.json else sys.stdout
    with common.usage_errors(Refused), contextlib.redirect_stdout(screen):
        outcome = run_group(
            arguments.script,
            arguments.arguments,
            arguments.workers,
            hosts,
            arguments.host_index,
            arguments.engine,
            limits,
            arguments.port,
            {},
        )
    if arguments.json:
        common.print_text(json.dumps(outcome.to_dict()))
    return outcome.exit_code
