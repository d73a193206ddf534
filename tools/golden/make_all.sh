#!/bin/sh
# Regenerates tests/data/golden and checks it: make_all.sh PYTHON (one with requirements.txt installed).
set -eu
python=$1
tools=$(dirname "$0")
golden=$tools/../../tests/data/golden
rm -rf "$golden/models" "$golden/tokenizer"
"$python" "$tools/make_models.py" "$golden/models"
"$python" "$tools/make_reference.py" "$golden/models"
"$python" "$tools/make_tokenizers.py" "$golden/tokenizer"
"$python" "$tools/make_packings.py" "$golden"
"$python" "$tools/make_trained.py" "$tools/../../models/bookworm-18m" "$golden/trained.safetensors"
"$python" "$tools/check_reference.py" "$golden/models"
