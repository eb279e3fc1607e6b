#!/bin/sh
# Everything there is to measure on one GPU: correctness first, then the whole table. Ten minutes at most.
#
#     benchmarks/gpu.sh [OUT]          on a machine with an NVIDIA GPU
#     DEVICE=cpu benchmarks/gpu.sh     rehearsal without one
#
# Wheels that the machine cannot fetch lie in wheels/: benchmarks/gpu.sh --fetch fills it where there is an index.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
# Not `[train]`: it brings the onnxruntime that cannot sit beside onnxruntime-gpu.
ALSO="torch torchvision scikit-image scipy onnx pyarrow tqdm"
EXTRA=$([ "$DEVICE" = cuda ] && echo cuda || echo cpu)

if [ "${1:-}" = --fetch ]; then
    # shellcheck disable=SC2086
    exec "$PYTHON" -m pip wheel --quiet --constraint constraints.txt --wheel-dir wheels ".[cuda]" $ALSO
fi
OUT=${1:-benchmarks/results}
mkdir -p "$OUT"
VENV=.venv-$EXTRA
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
FROM=$([ -d wheels ] && echo "--no-index --find-links wheels" || true)
# shellcheck disable=SC2086
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check $FROM --constraint constraints.txt --editable ".[$EXTRA]" $ALSO

if [ "$DEVICE" = cuda ]; then
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$OUT/gpu.txt"
fi
"$VENV/bin/python" -m benchmarks.agree --device "$DEVICE" --out "$OUT" samples/tour_of_troubles.mp4
"$VENV/bin/python" -m benchmarks.models --resnet18-224 --device "$DEVICE" --batch 64 --out "$OUT/models-$DEVICE.json"
"$VENV/bin/python" -m benchmarks.throughput clips streams latency --device "$DEVICE" --seconds 1 --rounds 3 --out "$OUT"
