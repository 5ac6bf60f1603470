"""One backend a process, chosen by KERAS_BACKEND; slow tests only with --full."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("KERAS_STRATEGIES_CACHE", "")  # no test writes into the home

# Tiny networks spend their time in XLA's optimizer and in threads that wait for each
# other: without both, the same assertions take about two thirds of the time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
# Tests marked `devices` run in a process of their own, which has two processors for two
# devices: see tests/distributed/test_devices.py.
if os.environ.get("KERAS_STRATEGIES_TEST_DEVICES") == "2":
    os.environ["XLA_FLAGS"] = (
        f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    )
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest

from tests import shortcuts

TWO_DEVICES = os.environ.get("KERAS_STRATEGIES_TEST_DEVICES") == "2"

# Files that take ten seconds or more, the longest first: with `--no-loadscope-reorder`
# they start first, so that no worker ends with one of them alone.
LONGEST = (
    "contract/test_callbacks.py",
    "policy/test_docstrings.py",
    "contract/test_rewriters.py",
    "recipes/test_recipes.py",
    "optimizers/test_gradient_transform.py",
    "ablation/test_study.py",
    "export/test_matrix.py",
    "distill/test_trainer.py",
    "contract/test_training.py",
    "fine_tune/test_fine_tune.py",
    "integration/test_run_notebooks.py",
    "_internal/test_freezing.py",
    "tuning/test_estimators.py",
    "contract/test_saving.py",
    "compression/test_combinations.py",
    "compression/test_quantize_aware.py",
    "distill/test_distill.py",
)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run the slow tests too")


def pytest_sessionstart(session):
    if TWO_DEVICES and os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [device, device])


def pytest_collection_modifyitems(config, items):
    import keras

    backend = keras.backend.backend()
    full = config.getoption("--full")
    kept, dropped = [], []
    for item in items:
        slow = item.get_closest_marker("slow") and not full
        other = item.get_closest_marker("tensorflow") and backend != "tensorflow"
        alone = bool(item.get_closest_marker("devices")) != TWO_DEVICES
        (dropped if slow or other or alone else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = sorted(kept, key=_rank)


def _rank(item):
    name = "/".join(item.path.parts[-2:])
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_finish(session):
    import keras

    shortcuts.collect_rarely()
    quick = not session.config.getoption("--full") and not TWO_DEVICES
    if quick and keras.backend.backend() == "tensorflow":
        shortcuts.optimize_no_graphs()
        shortcuts.record_no_stacks()


@pytest.fixture(autouse=True, scope="module")
def _short_ways(request):
    import keras

    quick = not request.config.getoption("--full") and not TWO_DEVICES
    with pytest.MonkeyPatch.context() as patch:
        if quick and keras.backend.backend() == "tensorflow":
            shortcuts.trace_once(request.path, patch)
            shortcuts.batch_at_once(patch)
            shortcuts.keep_kernels(patch)
        yield
    if quick and keras.backend.backend() == "tensorflow":
        shortcuts.forget_kernels()


@pytest.fixture(autouse=True, scope="module")
def _free_memory():
    import keras

    yield
    if keras.backend.backend() == "tensorflow":
        shortcuts.forget_gradients()


@pytest.fixture(autouse=True)
def _fresh_keras():
    """Each test starts from the same seed, dtype policy and names, without figures."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1234)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
