#!/bin/sh
# Everything there is to measure on one GPU: correctness first, then the whole table. Ten minutes at most.
#
#     benchmarks/gpu.sh [OUT]          on a machine with an NVIDIA GPU
#     DEVICE=cpu benchmarks/gpu.sh     rehearsal without one, in small
#
# It makes a virtual environment, or takes the one that VENV names as it is, with what PYTHONPATH adds.
# Wheels that the machine cannot fetch lie in wheels/: benchmarks/gpu.sh --fetch fills it where there is an index,
# for the same version of Python.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
LIMIT=${LIMIT:-600}
# Not `[train]`: it brings the onnxruntime that cannot sit beside onnxruntime-gpu.
# setuptools builds our own package, where no index is asked for it.
ALSO="torch torchvision scikit-image scipy onnx onnxscript pyarrow tqdm setuptools"

if [ "${1:-}" = --fetch ]; then
    # shellcheck disable=SC2086
    "$PYTHON" -m pip wheel --quiet --constraint constraints.txt --wheel-dir wheels ".[cuda]" $ALSO
    "$PYTHON" -m pip wheel --quiet --constraint constraints.txt --wheel-dir wheels ".[tensorrt]" ||
        echo "TensorRT cannot be fetched here: it will not be measured" >&2
    exit
fi
OUT=${1:-benchmarks/results}
mkdir -p "$OUT"
START=$(date +%s)
FAILED=""

install() {
    from=$([ -d wheels ] && echo "--no-index --find-links wheels" || true)
    # shellcheck disable=SC2086
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check $from --constraint constraints.txt "$@"
}

left() {
    echo $((LIMIT - $(date +%s) + START))
}

# What is being done, then its command; a failure is told at the end, and what is left of the time is its bound.
step() {
    what=$1
    shift
    if [ "$(left)" -lt 5 ]; then
        FAILED="$FAILED; $what: no time left"
        return
    fi
    echo "--- $what ($(left) s left)" >&2
    timeout -k 10 "$(left)" "$VENV/bin/python" -m "$@" || FAILED="$FAILED; $what: exit status $?"
}

if [ -z "${VENV:-}" ]; then
    EXTRA=$([ "$DEVICE" = cpu ] && echo cpu || echo cuda)
    VENV=.venv-$EXTRA
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
    # shellcheck disable=SC2086
    install --editable ".[$EXTRA]" $ALSO
    [ "$DEVICE" = cpu ] || install --editable ".[tensorrt]" || echo "TensorRT cannot be installed" >&2
    START=$(date +%s)
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export STREAMFILTER_TENSORRT_CACHE="${STREAMFILTER_TENSORRT_CACHE:-$PWD/runs/tensorrt}"
CLIP=samples/tour_of_troubles.mp4
if [ "$DEVICE" = cpu ]; then
    FRAMES="--frames 10" BATCHES="--batch 1 --batch 4" ROUNDS=1 SMALL="--quick" COUNTS="--streams 1 --streams 2"
else
    FRAMES="" BATCHES="--batch 1 --batch 8 --batch 64 --batch 256" ROUNDS=10 SMALL=""
    COUNTS="--streams 1 --streams 2 --streams 4 --streams 8 --streams 16 --streams 24"
fi

# shellcheck disable=SC2086
{
    step "agreement in float32" benchmarks.agree --device "$DEVICE" $FRAMES --out "$OUT" $CLIP
    if [ -n "$FAILED" ]; then
        # Nothing is measured of what computes otherwise than the CPU.
        echo "stopped${FAILED}" >&2
        exit 1
    fi
    step "agreement in float16" benchmarks.agree --device "$DEVICE" --precision fp16 $FRAMES --out "$OUT" $CLIP
    for PRECISION in fp16 fp32; do
        step "models in $PRECISION" benchmarks.models --resnet18-224 --device "$DEVICE" --precision "$PRECISION" \
            $BATCHES --rounds "$ROUNDS" --out "$OUT/models-$DEVICE-$PRECISION.json"
    done
    for CASE in decoders streams latency clips; do
        step "throughput: $CASE" benchmarks.throughput "$CASE" --clip $CLIP --device "$DEVICE" \
            --decoder "$([ "$DEVICE" = cpu ] || echo cuda)" --seconds 2 --rounds 3 $COUNTS $SMALL --out "$OUT"
    done
    if [ "$DEVICE" != cpu ]; then
        # Last: building takes what time is left. What was built is kept, and the next run goes on from there.
        step "agreement of TensorRT in float16" benchmarks.agree --device tensorrt --precision fp16 --out "$OUT" $CLIP
        step "models with TensorRT" benchmarks.models --resnet18-224 utility-nano --device tensorrt \
            --precision fp16 --batch 1 --batch 8 --batch 64 --rounds "$ROUNDS" --out "$OUT/models-tensorrt-fp16.json"
    fi
}
echo "took $(($(date +%s) - START)) s" >&2
if [ -n "$FAILED" ]; then
    echo "failed, or not measured${FAILED}" >&2
    exit 1
fi
