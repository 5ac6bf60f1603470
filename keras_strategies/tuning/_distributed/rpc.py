"""Calls on an oracle from another process: one line of JSON each way.

Takes the place of KerasTuner's gRPC service, under the same environment variables: that
one reorders the space, drops the messages of failures and cannot say that a trial shall
stop. A call is safe to repeat, so a client that loses the connection asks again; a
chief that was started anew answers it.
"""

import json
import socket
import socketserver
import threading
import time

from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning._space.trials import trial_from

PATIENCE = 600  # seconds that a client waits for a chief
_LONGEST = 1 << 26


class Calls:
    """The methods of an oracle that others may call, with JSON arguments."""

    def __init__(self, oracle):
        self.oracle = oracle

    def create_trial(self, tuner_id):
        return self.oracle.create_trial(tuner_id).get_state()

    def update_trial(self, trial_id, metrics, step):
        self.oracle.update_trial(trial_id, metrics, step)

    def end_trial(self, trial):
        self.oracle.end_trial(trial_from(trial))

    def report(self, trial_id, epoch, logs):
        return self.oracle.report(trial_id, epoch, logs)

    def alive(self, tuner_id):
        return self.oracle.alive(tuner_id)

    def get_space(self):
        return self.oracle.get_space().get_config()

    def update_space(self, space):
        self.oracle.update_space(_space.Space.from_config(space))

    def get_trial(self, trial_id):
        return self.oracle.get_trial(trial_id).get_state()

    def get_best_trials(self, num_trials):
        return [trial.get_state() for trial in self.oracle.get_best_trials(num_trials)]

    def seed(self):
        return self.oracle.seed


METHODS = tuple(name for name in vars(Calls) if not name.startswith("_"))


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline(_LONGEST)
        if not line.endswith(b"\n"):
            return  # the caller went away in the middle
        request = json.loads(line)
        if request.get("token") != self.server.token:
            answer = {"error": "the token is wrong"}
        elif request["method"] not in self.server.methods:
            answer = {"error": f"no such method: {request['method']}"}
        else:
            answer = self._called(request)
        self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _called(self, request):
        try:
            method = getattr(self.server.calls, request["method"])
            return {"result": method(**request["arguments"])}
        except Exception as error:
            # The caller raises it; the server lives on.
            return {"error": f"{type(error).__name__}: {error}"}


class Server(socketserver.ThreadingTCPServer):
    """Serves an oracle on a thread of its own, as a context."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, oracle, host="127.0.0.1", port=0, token="", methods=METHODS):
        super().__init__((host, int(port)), _Handler)
        self.calls, self.token, self.methods = Calls(oracle), token, methods
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def port(self):
        return self.server_address[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self.shutdown()
        self._thread.join()
        self.server_close()


class RemoteOracle:
    """An oracle whose trials are kept by another process.

    What is not a call (the objective, folders) comes from `local`, an oracle made with
    the same arguments.
    """

    def __init__(self, local, host, port, token="", patience=PATIENCE):
        self._local = local
        self._address = (host, int(port))
        self._token, self._patience = token, patience
        self.pruned = {}
        self.stop_reason = None

    def __getattr__(self, name):
        return getattr(self._local, name)

    @property
    def verbose(self):
        return 0

    @verbose.setter
    def verbose(self, value):
        """The chief shows what happens."""
        self._local.verbose = 0

    def _call(self, method, **arguments):
        request = {"token": self._token, "method": method, "arguments": arguments}
        line = json.dumps(request).encode() + b"\n"
        until = time.monotonic() + self._patience
        while True:
            try:
                answer = self._asked(line)
                break
            except OSError as error:
                if time.monotonic() > until:
                    raise ConnectionError(
                        f"The chief at {self._address[0]}:{self._address[1]} has not "
                        f"answered for {self._patience:g} s ({error})."
                    ) from error
                time.sleep(0.2)
        if "error" in answer:
            raise RuntimeError(f"The chief refused `{method}`: {answer['error']}")
        return answer["result"]

    def _asked(self, line):
        with socket.create_connection(self._address, timeout=60) as connection:
            connection.sendall(line)
            with connection.makefile("rb") as file:
                answer = file.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionResetError("the answer broke off")
        return json.loads(answer)

    def create_trial(self, tuner_id):
        trial = trial_from(self._call("create_trial", tuner_id=tuner_id))
        self.pruned.pop(trial.trial_id, None)
        return trial

    def update_trial(self, trial_id, metrics, step=0):
        self._call("update_trial", trial_id=trial_id, metrics=metrics, step=step)

    def end_trial(self, trial):
        self._call("end_trial", trial=trial.get_state())

    def report(self, trial_id, epoch, logs):
        answer = self._call("report", trial_id=trial_id, epoch=epoch, logs=logs)
        if answer == "STOPPED":
            self.pruned[trial_id] = epoch
        return answer

    def alive(self, tuner_id):
        return self._call("alive", tuner_id=tuner_id)

    def get_space(self):
        return _space.Space.from_config(self._call("get_space"))

    def update_space(self, hyperparameters):
        space = _space.Space.of(hyperparameters).get_config()
        self._call("update_space", space=space)

    def get_trial(self, trial_id):
        return trial_from(self._call("get_trial", trial_id=trial_id))

    def get_best_trials(self, num_trials=1):
        states = self._call("get_best_trials", num_trials=num_trials)
        return [trial_from(state) for state in states]

    def take_seed(self):
        """Takes the chief's seed, so that folds and weights are those of any worker."""
        self._local.seed = self._call("seed")
