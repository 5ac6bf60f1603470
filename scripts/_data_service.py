"""Dispatcher and workers of the tf.data service; see data_service."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HOST = "127.0.0.1"


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="data_service", description="Servers for augmentation.distribute."
    )
    parser.add_argument("--workers", type=int, default=2, help="default %(default)s")
    parser.add_argument(
        "--port",
        type=int,
        default=5050,
        help="of the dispatcher; workers take the ones after it (%(default)s)",
    )
    kinds = parser.add_subparsers(dest="kind")
    dispatcher = kinds.add_parser("dispatcher", help="the dispatcher alone")
    dispatcher.add_argument("--port", type=int, default=5050)
    dispatcher.add_argument(
        "--work-dir", help="where it notes what it does, to go on after its death"
    )
    dispatcher.add_argument(
        "--worker-addresses",
        nargs="*",
        help="of all the workers, in a fixed order; static sharding needs it",
    )
    worker = kinds.add_parser("worker", help="one worker alone")
    worker.add_argument("--dispatcher", required=True, help="HOST:PORT")
    worker.add_argument("--port", type=int, default=0)
    worker.add_argument("--address", help="HOST:PORT at which clients reach it")
    return parser.parse_args(arguments)


def serve(options):
    """Runs one server in this process until it is ended."""
    from tensorflow.data.experimental import service

    if options.kind == "dispatcher":
        server = service.DispatchServer(
            service.DispatcherConfig(
                port=options.port,
                work_dir=options.work_dir,
                fault_tolerant_mode=options.work_dir is not None,
                worker_addresses=options.worker_addresses or None,
            )
        )
    else:
        address = options.address or (options.port and f"{HOST}:{options.port}") or None
        server = service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=options.dispatcher,
                worker_address=address,
                port=options.port,
            )
        )
    print(f"{options.kind} serves on port {options.port or 'any'}", flush=True)
    server.join()


class Server:
    """A server in a process of its own."""

    def __init__(self, *arguments):
        self.name, self._arguments = arguments[0], arguments
        self.start()

    def start(self):
        command = [sys.executable, __file__, *map(str, self._arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            sys.exit(f"data_service: the {self.name} did not start")
        print(f"{self.name} {self.process.pid}", flush=True)


def serve_all(options, end):
    """Runs a dispatcher and workers on this machine; starts anew what dies."""
    ports = [options.port + 1 + i for i in range(options.workers)]
    dispatcher = f"{HOST}:{options.port}"
    with tempfile.TemporaryDirectory(prefix="data-service-") as folder:
        servers = []
        try:
            servers.append(
                Server(
                    *("dispatcher", "--port", options.port, "--work-dir", folder),
                    *("--worker-addresses", *(f"{HOST}:{port}" for port in ports)),
                )
            )
            for port in ports:
                servers.append(
                    Server("worker", "--dispatcher", dispatcher, "--port", port)
                )
            print(f"service: {dispatcher}", flush=True)
            while not end.wait(0.5):
                for server in servers:
                    if server.process.poll() is not None:
                        print(f"the {server.name} died and starts anew", flush=True)
                        server.start()
        finally:
            for server in servers:
                server.process.kill()
                server.process.wait()


def main(arguments=None):
    # Workers decode and augment on the processor.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = parse(arguments)
    if options.kind:
        # Ends with the process that started it, however that ends.
        parent = os.getppid()
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        return serve(options)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    return serve_all(options, end)


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
