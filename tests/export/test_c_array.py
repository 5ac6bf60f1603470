"""C arrays: the same bytes, parsed back and compiled as C and as C++."""

import os
import re
import shutil
import subprocess

import pytest

from keras_strategies import export
from tests.export import models

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("c_array") / "tiny.tflite"
    export.to_tflite(models.tiny(), path)
    return path.read_bytes()


@pytest.fixture
def artifact(content, tmp_path):
    path = tmp_path / "my model-1.tflite"
    path.write_bytes(content)
    return path


def _parsed(text, name):
    body = re.search(rf"const unsigned char {name}\[\] = \{{(.*?)\}};", text, re.S)[1]
    return bytes(int(code, 16) for code in re.findall(r"0x([0-9a-f]{2}),", body))


def test_source_and_header(artifact, content):
    written = export.write_c_array(artifact)
    assert written == str(artifact.with_suffix(".cc"))
    with open(written) as file:
        text = file.read()
    assert _parsed(text, "my_model_1") == content
    assert f"const unsigned int my_model_1_len = {len(content)};" in text
    assert '#include "my model-1.h"' in text
    assert max(map(len, text.splitlines())) <= 88
    header = artifact.with_suffix(".h").read_text()
    assert header.startswith("#ifndef MY_MODEL_1_H_\n#define MY_MODEL_1_H_\n")
    assert "extern const unsigned char my_model_1[];" in header
    assert len(os.listdir(artifact.parent)) == 3


PROGRAM = """
#include <stdio.h>
#include <stdint.h>
#include "model.h"
int main(void) {
  if ((uintptr_t)model_data % 16) return 2;
  return fwrite(model_data, 1, model_data_len, stdout) != model_data_len;
}
"""


@pytest.mark.parametrize(
    ("compiler", "suffix", "flags"),
    [
        ("cc", ".c", ["-std=c99", "-pedantic"]),
        ("c++", ".cc", ["-std=c++11", "-pedantic"]),
        ("c++", ".cpp", []),
    ],
)
def test_compiled(compiler, suffix, flags, artifact, content, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no compiler {compiler} on this machine")
    source = tmp_path / f"model{suffix}"
    export.write_c_array(artifact, source, name="model_data")
    (tmp_path / f"main{suffix}").write_text(PROGRAM)
    command = [compiler, *flags, "-Wall", "-Wextra", "-Werror", "-o", "program"]
    command += [f"main{suffix}", source.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True)
    assert printed.stdout == content


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("3 digits", "model_3_digits"),
        ("__Größe__x", "Gr_e_x"),
        ("class", "class_data"),
        ("int", "int_data"),
        ("g_model", "g_model"),
        ("a*/b", "a_b"),
    ],
)
def test_names_become_identifiers(name, identifier, artifact, content):
    with open(export.write_c_array(artifact, name=name)) as file:
        assert _parsed(file.read(), identifier) == content


def test_refused(artifact, content, tmp_path):
    with pytest.raises(ValueError, match="must end in one of .c, .cc, .cpp"):
        export.write_c_array(artifact, tmp_path / "model.h")
    with pytest.raises(FileNotFoundError, match="folder of `path`"):
        export.write_c_array(artifact, tmp_path / "none" / "model.c")
    with pytest.raises(FileNotFoundError, match="existing .tflite"):
        export.write_c_array(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match="letter or digit"):
        export.write_c_array(artifact, name="模型")
    with pytest.raises(TypeError, match="`name` must be a str"):
        export.write_c_array(artifact, name=3)
    artifact.write_bytes(content[:100])
    with pytest.raises(export.ExportError, match="no intact .tflite"):
        export.write_c_array(artifact)
    assert os.listdir(tmp_path) == [artifact.name]
