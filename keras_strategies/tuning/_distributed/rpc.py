"""Remote calls on an oracle: one line of JSON each way over TCP.

Replaces KerasTuner's gRPC service, under the same environment variables: that one
reorders the space, drops the messages of failures and cannot tell a worker to stop a
trial.

Protocol: the client opens a connection, sends `{"token", "method", "arguments"}` and a
newline, and reads `{"result"}` or `{"error"}` and a newline. Every call is idempotent:
`create_trial` returns the trial that a worker has already, `end_trial` ignores a trial
that has ended. So a client that loses the connection sends its request again, and a
chief that was restarted answers it.
"""

import hmac
import json
import socket
import socketserver
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

import keras_tuner

from keras_strategies.tuning import _space
from keras_strategies.tuning._space import Trial

PATIENCE = 600  # seconds for which a client repeats a call while no chief answers
_MAX_LINE = 1 << 24  # bytes
_READ_TIMEOUT = 30  # seconds for a client to send its request
_MAX_RATE = 1000  # requests of one address in a second; further ones wait
_WRONG_TOKEN_DELAY = 1.0  # seconds
_RETRY_INTERVAL = 0.2  # seconds


class OracleService:
    """The methods of an oracle that clients may call, with JSON arguments."""

    def __init__(self, oracle: Any) -> None:
        self.oracle = oracle

    def create_trial(self, tuner_id: str) -> dict[str, Any]:
        return self.oracle.create_trial(tuner_id).get_state()

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int) -> None:
        self.oracle.update_trial(trial_id, metrics, step)

    def end_trial(self, trial: dict[str, Any]) -> None:
        self.oracle.end_trial(_space.trial_from_state(trial))

    def report(self, trial_id: str, epoch: int, logs: dict[str, float]) -> str:
        return self.oracle.report(trial_id, epoch, logs)

    def heartbeat(self, tuner_id: str) -> bool:
        return self.oracle.heartbeat(tuner_id)

    def get_space(self) -> dict[str, Any]:
        return self.oracle.get_space().get_config()

    def update_space(self, space: dict[str, Any]) -> None:
        self.oracle.update_space(_space.Space.from_config(space))

    def get_trial(self, trial_id: str) -> dict[str, Any]:
        return self.oracle.get_trial(trial_id).get_state()

    def get_best_trials(self, num_trials: int) -> list[dict[str, Any]]:
        return [trial.get_state() for trial in self.oracle.get_best_trials(num_trials)]

    def seed(self) -> int:
        return self.oracle.seed


METHODS = tuple(name for name in vars(OracleService) if not name.startswith("_"))


class _RequestHandler(socketserver.StreamRequestHandler):
    server: "OracleServer"
    timeout = _READ_TIMEOUT

    def handle(self) -> None:
        self.server.wait_for_turn(self.client_address[0])
        try:
            line = self.rfile.readline(_MAX_LINE)
        except TimeoutError:
            return
        if not line.endswith(b"\n"):
            return  # the request broke off, or is longer than any of a worker
        try:
            request = json.loads(line)
            token = str(request["token"]).encode()
        except (ValueError, KeyError, TypeError):
            return  # no worker
        if not hmac.compare_digest(token, self.server.token.encode()):
            time.sleep(_WRONG_TOKEN_DELAY)  # no quick guesses
            response = {"error": "the token is wrong"}
        elif request["method"] not in self.server.methods:
            response = {"error": f"no such method: {request['method']}"}
        else:
            response = self._respond(request)
        self.wfile.write(json.dumps(response).encode() + b"\n")

    def _respond(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            method = getattr(self.server.service, request["method"])
            return {"result": method(**request["arguments"])}
        except Exception as error:
            # The client raises it; the server continues.
            return {"error": f"{type(error).__name__}: {error}"}


class OracleServer(socketserver.ThreadingTCPServer):
    """Serves an oracle on a thread of its own, as a context.

    Args:
        oracle: The oracle.
        host: Address to listen on.
        port: Port, or 0 for any free one.
        token: Secret that every request must contain.
        methods: Names of the methods that clients may call.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        oracle: Any,
        host: str = "127.0.0.1",
        port: int | str = 0,
        token: str = "",
        methods: Collection[str] = METHODS,
    ) -> None:
        super().__init__((host, int(port)), _RequestHandler)
        self.service, self.token, self.methods = OracleService(oracle), token, methods
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), daemon=True
        )
        self._requests: dict[str, tuple[int, int]] = {}  # address -> (second, count)

    def wait_for_turn(self, address: str) -> None:
        """Delays the requests of one address beyond `_MAX_RATE` in a second."""
        now = int(time.monotonic())
        second, count = self._requests.get(address, (now, 0))
        count = count + 1 if second == now else 1
        if len(self._requests) > 1000 and address not in self._requests:
            self._requests.clear()
        self._requests[address] = now, count
        if count > _MAX_RATE:
            time.sleep(1.0)

    @property
    def port(self) -> int:
        return self.server_address[1]

    def __enter__(self) -> "OracleServer":
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class RemoteOracle:
    """An oracle whose trials another process keeps.

    Attributes that are not calls (the objective, folders) are those of `local`.

    Args:
        local: An oracle made with the same arguments.
        host: Address of the chief.
        port: Port of the chief.
        token: Secret of the chief.
        patience: Seconds for which a call is repeated while no chief answers.
    """

    def __init__(
        self,
        local: keras_tuner.Oracle,
        host: str,
        port: int | str,
        token: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self._local = local
        self._address = (host, int(port))
        self._token, self._patience = token, patience
        self.pruned: dict[str, int] = {}
        self.stop_reason: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    @property
    def verbose(self) -> int:
        return 0

    @verbose.setter
    def verbose(self, value: int) -> None:
        """The chief shows the progress."""
        self._local.verbose = 0

    def _call(self, method: str, **arguments: Any) -> Any:
        request = {"token": self._token, "method": method, "arguments": arguments}
        line = json.dumps(request).encode() + b"\n"
        deadline = time.monotonic() + self._patience
        while True:
            try:
                response = self._send_request(line)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ConnectionError(
                        f"The chief at {self._address[0]}:{self._address[1]} has not "
                        f"answered for {self._patience:g} s ({error})."
                    ) from error
                time.sleep(_RETRY_INTERVAL)
        if "error" in response:
            raise RuntimeError(f"The chief refused `{method}`: {response['error']}")
        return response["result"]

    def _send_request(self, line: bytes) -> dict[str, Any]:
        with socket.create_connection(self._address, timeout=60) as connection:
            connection.sendall(line)
            with connection.makefile("rb") as file:
                response = file.readline()
        if not response.endswith(b"\n"):
            raise ConnectionResetError("the answer broke off")
        return json.loads(response)

    def create_trial(self, tuner_id: str) -> Trial:
        state = self._call("create_trial", tuner_id=tuner_id)
        trial = _space.trial_from_state(state)
        self.pruned.pop(trial.trial_id, None)
        return trial

    def update_trial(
        self, trial_id: str, metrics: Mapping[str, float], step: int = 0
    ) -> None:
        self._call("update_trial", trial_id=trial_id, metrics=metrics, step=step)

    def end_trial(self, trial: Trial) -> None:
        self._call("end_trial", trial=trial.get_state())

    def report(self, trial_id: str, epoch: int, logs: Mapping[str, float]) -> str:
        status = self._call("report", trial_id=trial_id, epoch=epoch, logs=logs)
        if status == "STOPPED":
            self.pruned[trial_id] = epoch
        return status

    def heartbeat(self, tuner_id: str) -> bool:
        return self._call("heartbeat", tuner_id=tuner_id)

    def get_space(self) -> _space.Space:
        return _space.Space.from_config(self._call("get_space"))

    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        space = _space.Space.of(hyperparameters).get_config()
        self._call("update_space", space=space)

    def get_trial(self, trial_id: str) -> Trial:
        return _space.trial_from_state(self._call("get_trial", trial_id=trial_id))

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        states = self._call("get_best_trials", num_trials=num_trials)
        return [_space.trial_from_state(state) for state in states]

    def copy_seed(self) -> None:
        """Sets the seed of the chief, so that folds and weights are the same here."""
        self._local.seed = self._call("seed")
