"""Hermetic environment: variables that can change results are set, recorded as the user's choice, or removed.

Every script calls ``start`` before it imports anything else, and the Snakefile ``apply``, so that jobs inherit a
prepared environment. There are three kinds of variables; those of other programs are left alone:

- set by convlab: threads, locale, settings files of Keras and Matplotlib, hash seed;
- choices that a user may make on purpose (``USER_CHOICES``): passed on, recorded in run.json, part of a run's identity;
- every other variable of a library that computes or draws (``RELEVANT_VARIABLES``): removed, and named in the log.

Standard library only.
"""

import importlib.machinery
import os
import re
import site
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from convlab.errors import UserError

KEEP_VARIABLE = "CONVLAB_KEEP"
"""Environment variable with the names of further variables that a user wants to be passed on, as choices."""

ONE_THREAD = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
    ),
    "1",
)
"""Libraries below NumPy round differently with other numbers of threads. TensorFlow and PyTorch get theirs later."""

FIXED_VARIABLES = {
    **ONE_THREAD,
    # Settings files in the user's home and elsewhere. /dev/null is no folder, so Keras neither reads nor writes one
    # below it; as Matplotlib's settings it is an empty file.
    "KERAS_HOME": os.devnull,
    "MATPLOTLIBRC": os.devnull,
    "MPLBACKEND": "agg",
    "LC_ALL": "C.UTF-8",  # also for the messages of git and nvidia-smi
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
}
"""What convlab sets, whatever the user's value."""

USER_CHOICES = {
    # TensorFlow switches oneDNN on by itself only for processors with AVX-512 VNNI or better; where it does not,
    # training takes twice as long.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_DISABLE_MKL": None,
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": None,
    "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": None,
    "TF_USE_ADVANCED_CPU_OPS": None,
    "ONEDNN_MAX_CPU_ISA": None,
    "DNNL_MAX_CPU_ISA": None,
    "ONEDNN_CPU_ISA_HINTS": None,
    "DNNL_CPU_ISA_HINTS": None,
    "ONEDNN_DEFAULT_FPMATH_MODE": None,
    "DNNL_DEFAULT_FPMATH_MODE": None,
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": None,
    "TF_XLA_FLAGS": None,
    "XLA_FLAGS": None,
    "TF_DETERMINISTIC_OPS": None,
    "TF_CUDNN_DETERMINISTIC": None,
    "TF_CUDNN_USE_AUTOTUNE": None,
    "TF_CUDNN_USE_FRONTEND": None,
    "TF_ENABLE_WINOGRAD_NONFUSED": None,
    "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32": None,
    "TF_ENABLE_CUDNN_TENSOR_OP_MATH_FP32": None,
    "TF_FP16_CONV_USE_FP32_COMPUTE": None,
    "TF_FP16_MATMUL_USE_FP32_COMPUTE": None,
    "NVIDIA_TF32_OVERRIDE": None,
    "CUBLAS_WORKSPACE_CONFIG": None,
    "JAX_PLATFORMS": None,
    "JAX_DEFAULT_MATMUL_PRECISION": None,
    "ATEN_CPU_CAPABILITY": None,
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": None,
    "MKL_CBWR": None,
    "MKL_ENABLE_INSTRUCTIONS": None,
    # Older OpenBLAS builds compute wrong results on some processors without these.
    "OPENBLAS_CORETYPE": None,
    "OPENBLAS_L2_SIZE": None,
    "GLIBC_TUNABLES": None,
    "LD_PRELOAD": None,
}
"""Variables that a user may set on purpose, with convlab's default, if any."""

HARMLESS_VARIABLES = re.compile(
    r"TF_CPP_(MIN_LOG_LEVEL|MAX_VLOG_LEVEL|VMODULE|LOG_THREAD_ID)|TF_FORCE_GPU_ALLOW_GROWTH|TF_GPU_ALLOCATOR"
    r"|XLA_PYTHON_CLIENT_(PREALLOCATE|MEM_FRACTION|ALLOCATOR)|JAX_COMPILATION_CACHE_DIR|TORCH_HOME|PYTORCH_(CUDA_)?ALLOC_CONF"
    r"|(ONEDNN|DNNL|MKL|OPENBLAS|KMP)_VERBOSE|HDF5_USE_FILE_LOCKING|MPLCONFIGDIR"
    r"|PYTHON(HOME|PLATLIBDIR|EXECUTABLE|STARTUP|BREAKPOINT|DONTWRITEBYTECODE|PYCACHEPREFIX|UNBUFFERED|FAULTHANDLER)"
)
"""Variables of these libraries for paths, logging and memory, without effect on results: left as they are."""

RELEVANT_VARIABLES = re.compile(
    r"(KERAS|TF|TF2|TENSORFLOW|AUTOGRAPH|XLA|ONEDNN|DNNL|JAX|TORCH[A-Z]*|PYTORCH|ATEN|MKL|OMP|KMP|GOMP|OPENBLAS|GOTO|BLIS"
    r"|VECLIB|NUMEXPR|NPY|NUMPY|SCIPY|SKLEARN|PANDAS|PYDANTIC|JOBLIB|LOKY|HDF5|H5PY|ORT|SEABORN|CUBLAS|CUDNN|MPL|MATPLOTLIB)_.*"
    r"|MPL[A-Z]+|MATPLOTLIBRC|SOURCE_DATE_EPOCH|LANGUAGE|NVIDIA_TF32_OVERRIDE"
    r"|PYTHON[A-Z0-9]+|PYTHON_(GIL|JIT|CPU_COUNT|FROZEN_MODULES|PERF_JIT_SUPPORT|PRESITE|TLBC|CONTEXT_AWARE_WARNINGS)"
    r"|PYTHON_THREAD_INHERIT_CONTEXT|TEST_TMPDIR"
)
"""Variables of the interpreter and of libraries that compute or draw. Those not listed above are removed."""

FOREIGN_VARIABLES = re.compile(
    r"TF_(VAR|CLI|TOKEN|STATE|PLUGIN|REGISTRY|HTTP|WARN|LOG|PROVIDER)_.*|TF_(LOG|INPUT|DATA_DIR|WORKSPACE|IN_AUTOMATION|IGNORE|BUILD)"
)
"""Variables of Terraform and others that share TensorFlow's prefix: removed without a message."""

REMOVED_SILENTLY = re.compile(
    r"PYTHON(?!PATH|OPTIMIZE).*|LANGUAGE|.*_NUM_THREADS|.*_MAXIMUM_THREADS|MPL.*|MATPLOTLIB.*|TEST_TMPDIR"
)
"""Variables that are removed or replaced without a message: shells commonly set them."""

PACKAGES = ("numpy", "pydantic", "keras")
"""Packages that all stages import; if they come from PYTHONPATH or the user's site-packages, these are kept."""


def prepared(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` as convlab's processes should have it. Applying it twice changes nothing more.

    Raises UserError for a value that a library would misread.
    """
    kept = _choosable(environment)
    result = {}
    for name, value in environment.items():
        if name in FIXED_VARIABLES or (name in kept and not value.strip()):
            continue
        if name in kept or HARMLESS_VARIABLES.fullmatch(name) or not RELEVANT_VARIABLES.fullmatch(name):
            result[name] = value
    result |= FIXED_VARIABLES
    for name, value in USER_CHOICES.items():
        if value is not None:
            result.setdefault(name, value)
    result["TF_ENABLE_ONEDNN_OPTS"] = _switch("TF_ENABLE_ONEDNN_OPTS", result["TF_ENABLE_ONEDNN_OPTS"])
    if _needed_from(_python_path(environment)):
        result["PYTHONPATH"] = environment["PYTHONPATH"]
    if "PYTHONNOUSERSITE" not in environment and _needed_from(_user_site()):
        del result["PYTHONNOUSERSITE"]
    return result


def choices(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The user's choices with their values: variables that can change numbers, part of a run's identity."""
    environment = prepared(os.environ if environment is None else environment)
    names = {*_choosable(environment), "PYTHONPATH"}
    return {name: environment[name] for name in sorted(names & environment.keys())}


def for_other_machines(environment: Mapping[str, str] | None = None) -> list[str]:
    """Names of the variables that must be passed on to jobs on other machines."""
    environment = os.environ if environment is None else environment
    names = [name for name, value in choices(environment).items() if value != USER_CHOICES.get(name)]
    return [name for name in (*names, KEEP_VARIABLE) if name != "PYTHONPATH" and name in environment]


def removed(environment: Mapping[str, str]) -> list[str]:
    """Names of variables that convlab does not pass on, for the log."""
    after = prepared(environment)
    return sorted(
        name
        for name, value in environment.items()
        if name not in after
        and value
        and not FOREIGN_VARIABLES.fullmatch(name)
        and not REMOVED_SILENTLY.fullmatch(name)
    )


def removed_message(names: list[str]) -> str:
    """One sentence about the variables in ``names``, or nothing."""
    if not names:
        return ""
    return (
        f"not used, since it could change results unseen: {', '.join(names)} "
        "(docs/config.md, Environment, says what may be set)"
    )


_removed_names: list[str] = []
"""Names of the variables that ``start`` removed in this process."""

_inherited: dict[str, str] = {}
"""The environment that ``start`` was called in."""


def apply(environment: MutableMapping[str, str] | None = None) -> list[str]:
    """Prepare ``environment`` (by default this process') in place; returns removed names that are worth a message."""
    environment = os.environ if environment is None else environment
    names = removed(environment)
    after = prepared(environment)
    for name in environment.keys() - after.keys():
        del environment[name]
    environment.update(after)
    return names


def start() -> None:
    """Prepare this process, before it imports anything that computes or draws. Called once, first, by every script.

    Python itself has read its variables by then, and other projects' ``sitecustomize`` may have run; where that can
    matter, the script is started again in a prepared environment, under the same process number.
    """
    before = dict(os.environ)
    _inherited.update(before)
    try:
        _removed_names.extend(apply())
    except UserError as error:
        if _is_script():
            sys.exit(f"error: {error}")
        raise
    if _is_script() and _must_restart(before):
        if _removed_names:
            print(removed_message(_removed_names), file=sys.stderr, flush=True)
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ))
    _import_matplotlib_elsewhere()


def inherited() -> dict[str, str]:
    """The environment before ``start`` prepared it, for a program that prepares its own, such as Snakemake."""
    return dict(_inherited)


def removed_at_start() -> list[str]:
    """Names of the variables that ``start`` removed, for the script's log."""
    return list(_removed_names)


def _choosable(environment: Mapping[str, str]) -> set[str]:
    """Names of all choices, those of ``CONVLAB_KEEP`` included. What convlab itself sets cannot be kept."""
    names = environment.get(KEEP_VARIABLE, "").replace(",", " ").split()
    for name in names:
        if (
            not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
            or name in FIXED_VARIABLES
            or re.match("KERAS_|PYTHON", name)
        ):
            raise UserError(f"{KEEP_VARIABLE} names {name!r}, which convlab cannot pass on; take it out")
    return {*USER_CHOICES, *names}


def _switch(name: str, value: str) -> str:
    """``0`` or ``1``. Raises UserError for other values, for which TensorFlow silently uses its default."""
    switch = {"0": "0", "false": "0", "1": "1", "true": "1"}.get(value.strip().lower())
    if switch is None:
        raise UserError(f"the environment variable {name} is {value!r}; write 0 or 1, or unset it")
    return switch


def _python_path(environment: Mapping[str, str]) -> list[str]:
    """Folders that PYTHONPATH adds to Python's path."""
    return [str(Path(entry).absolute()) for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _user_site() -> list[str]:
    """The user's own site-packages, where Python uses them."""
    return [site.getusersitepackages()] if site.ENABLE_USER_SITE else []


def _needed_from(folders: list[str]) -> bool:
    """Whether a package that stages need is in ``folders`` and nowhere else."""
    if not folders:
        return False
    others = [path for path in sys.path if path not in folders]
    finder = importlib.machinery.PathFinder
    return any(
        finder.find_spec(name, others) is None and finder.find_spec(name, folders) is not None for name in PACKAGES
    )


def _is_script() -> bool:
    """Whether this process was started as one of convlab's scripts: ``python scripts/x.py``, and not by a test."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    options = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    is_ours = file is not None and Path(file).resolve().parent == Path(__file__).resolve().parents[2]
    return is_ours and bool(sys.executable) and not {"-m", "-c", "-i"} & set(options)


def _must_restart(before: Mapping[str, str]) -> bool:
    """Whether Python was started with options that can change results and that only a restart removes."""
    harmless = {"PYTHONSAFEPATH", "PYTHONHASHSEED", "PYTHONNOUSERSITE", "PYTHONUTF8", "PYTHONCOERCECLOCALE"}
    changed = {name for name in before if name.startswith("PYTHON") and os.environ.get(name) != before[name]}
    user_site = site.ENABLE_USER_SITE and "PYTHONNOUSERSITE" in os.environ and Path(site.getusersitepackages()).is_dir()
    encodings = {sys.getfilesystemencoding().lower(), (sys.stdout.encoding if sys.stdout else "utf-8").lower()}
    return bool(changed - harmless or sys.flags.optimize or sys.warnoptions or user_site or encodings != {"utf-8"})


def _import_matplotlib_elsewhere() -> None:
    """Import Matplotlib from another folder, if the working folder has a ``matplotlibrc``: it would be read first.

    Some of its settings act at import and cannot be taken back, such as the process' locale.
    """
    if not Path("matplotlibrc").is_file() or "matplotlib" in sys.modules:
        return
    folder = Path.cwd()
    os.chdir("/")
    try:
        import matplotlib  # noqa: F401
    except ImportError:  # the stage needs none
        pass
    finally:
        os.chdir(folder)
