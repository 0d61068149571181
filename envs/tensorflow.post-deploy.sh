#!/usr/bin/env bash
# CUDA, and the TensorFlow that computes with it, where this machine has an NVIDIA GPU. Snakemake runs this in the
# environment that it has just made of tensorflow.yaml. CONVLAB_CUDA=1: without a GPU too, as on a cluster's login node;
# CONVLAB_CUDA=0: not at all.
# Written by requirements/lock.py from the pins in requirements/: `make lock`.
set -euo pipefail
case "${CONVLAB_CUDA:-}" in
  0) exit ;;
  1) ;;
  "") nvidia-smi --list-gpus 2>/dev/null | grep '^GPU' >/dev/null || exit 0 ;;
  *) echo "error: CONVLAB_CUDA is $CONVLAB_CUDA; it should be 1, 0 or empty" >&2; exit 1 ;;
esac
python -m pip uninstall --quiet --yes tensorflow-cpu
python -m pip install --quiet --no-deps nvidia-cublas-cu12==12.9.3.13 nvidia-cuda-cupti-cu12==12.9.79 nvidia-cuda-nvcc-cu12==12.9.86 nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 nvidia-cudnn-cu12==9.27.0.42 nvidia-cufft-cu12==11.4.1.4 nvidia-curand-cu12==10.3.10.19 nvidia-cusolver-cu12==11.7.5.82 nvidia-cusparse-cu12==12.5.10.65 nvidia-ml-py==13.615.71 nvidia-nccl-cu12==2.32.3 nvidia-nvjitlink-cu12==12.9.86 tensorflow==2.21.0
