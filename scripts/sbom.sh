#!/bin/sh
# Writes what a lock file pins as an SBOM in CycloneDX' format: sbom.sh LOCK OUTPUT.
set -eu

lock=$1
output=$2
cd "$(dirname "$0")/.."

# In an environment of its own: chardet, which the tool brings, would be used by requests in all tests and benchmarks.
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
.venv/bin/uv venv --quiet --no-project --python .venv/bin/python "$tool/venv"
.venv/bin/uv pip install --quiet --python "$tool/venv" --require-hashes -r requirements-sbom.lock
# It warns that a lock file does not tell which package needs which.
PYTHONWARNINGS=ignore::UserWarning "$tool/venv/bin/cyclonedx-py" requirements --pyproject pyproject.toml \
    --output-reproducible -o "$output" "$lock"
