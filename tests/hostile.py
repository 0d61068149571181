"""A home folder and an environment of another project, in which everything that could change a result is set."""

import json
import os
import sys
from pathlib import Path

MATPLOTLIBRC = """\
text.usetex: True
font.size: 31
font.family: fantasy
axes.formatter.use_locale: True
axes.prop_cycle: cycler('color', ['ff0000'])
savefig.bbox: tight
savefig.facecolor: black
svg.hashsalt: other
path.sketch: 3, 100, 2
figure.figsize: 2, 2
image.interpolation: bicubic
lines.antialiased: False
"""

SITECUSTOMIZE = """\
import os, random, sys, warnings
os.environ["KERAS_MAX_EPOCHS"] = "1"
random.seed(1)
warnings.simplefilter("ignore")
try:
    import numpy
    fixed = numpy.random.PCG64
    numpy.random.seed(1)
    numpy.random.default_rng = lambda *_: numpy.random.Generator(fixed(1))
    numpy.seterr(all="raise")
except ImportError:
    pass
"""


def hostile_environment(folder: Path) -> dict[str, str]:
    """Make a home and a module path in ``folder``; the environment variables that point there, and all others."""
    home, other = folder / "home", folder / "other project"
    settings = {
        "floatx": "float16", "epsilon": 0.1, "backend": "jax", "image_data_format": "channels_first",
        "nnx_enabled": True,
    }  # fmt: skip
    user_site = f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    files = {
        home / ".keras/keras.json": json.dumps(settings),
        home / ".config/matplotlib/matplotlibrc": MATPLOTLIBRC,
        home / user_site / "usercustomize.py": SITECUSTOMIZE,
        other / "keras.json": "[1]",
        other / "matplotlibrc": MATPLOTLIBRC,
        other / "sitecustomize.py": SITECUSTOMIZE,
        other / "keras/__init__.py": "raise SystemExit('the keras of another project')",
        other / "seaborn.py": "raise SystemExit('the seaborn of another project')",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "KERAS_HOME": str(other),
        "KERAS_BACKEND": "torch",
        "KERAS_MAX_EPOCHS": "1",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
        "KERAS_NNX_ENABLED": "true",
        "KERAS_ANYTHING_NEW": "1",
        "TF_USE_LEGACY_KERAS": "1",
        "TF_FUNCTION_JIT_COMPILE_DEFAULT": "true",
        "TF_NUM_INTRAOP_THREADS": "3",
        "TF_NUM_INTEROP_THREADS": "3",
        "TF_ENABLE_MAXPOOL_NANPROP": "1",
        "TF_USE_DEEP_CONV2D": "1",
        "TF_CONFIG": '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}',
        "TF_VAR_password": "secret",
        "TF2_BEHAVIOR": "0",
        "AUTOGRAPH_STRICT_CONVERSION": "1",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
        "SCIPY_ARRAY_API": "1",
        "SKLEARN_ASSUME_FINITE": "1",
        "OMP_NUM_THREADS": "3",
        "OMP_DYNAMIC": "true",
        "OPENBLAS_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "NUMEXPR_NUM_THREADS": "3",
        "HDF5_PLUGIN_PATH": str(other),
        "PYTHONPATH": str(other),
        "PYTHONOPTIMIZE": "2",
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONHASHSEED": "7",
        "PYTHONIOENCODING": "latin-1",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONDEVMODE": "1",
        "LC_ALL": "POSIX",
        "LANG": "tr_TR.ISO-8859-9",
        "LANGUAGE": "tr",
        "TZ": "Pacific/Chatham",
        "MPLBACKEND": "TkAgg",
        "MATPLOTLIBRC": str(other),
        "SOURCE_DATE_EPOCH": "yesterday",
    }
