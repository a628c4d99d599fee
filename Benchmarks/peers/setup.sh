#!/usr/bin/env bash
# Makes a virtual environment for each peer under the folder given (some 3 GB a peer).
set -euo pipefail
folder=${1:?usage: Benchmarks/peers/setup.sh FOLDER}
mkdir -p "$folder"
python3 -m venv "$folder/llm-compressor"
"$folder/llm-compressor/bin/pip" install -q llmcompressor==0.14.0.1
python3 -m venv "$folder/gptqmodel"
"$folder/gptqmodel/bin/pip" install -q setuptools wheel packaging ninja numpy torch
"$folder/gptqmodel/bin/pip" install -q --no-build-isolation gptqmodel==7.7.0
python3 -m venv "$folder/llama.cpp"
"$folder/llama.cpp/bin/pip" install -q xllamacpp==2026.10.11549 gguf==0.19.0 transformers==5.23.0 safetensors torch
