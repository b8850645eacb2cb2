#!/usr/bin/env bash
# The whole table on the real labeled shoes: a base model and a fine-tuned one, asked in words and by photo, levels 1
# to 3, four scorings, with the model as a folder and through the API; then both in one comparison.
#
#   tests/evaluation/shoelaces.sh BASE FINE_TUNED [OUT]
#
# Results: OUT/ (target/shoelaces when not given). Ends with an error when a folder and its service score differently.
# AGLET: the program (target/release/aglet). DATA: the shoes (../shared/data/fashion-product-images). PORT: a free port.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
base=$1 tuned=$2 out=${3:-target/shoelaces}
aglet=${AGLET:-target/release/aglet} data=${DATA:-../shared/data/fashion-product-images} port=${PORT:-8765}
mkdir -p "$out/catalog"

# The labeled shoes alone; ids hold no commas, so the first field is the id whatever is quoted behind it.
awk -F, 'NR == FNR { labeled[$1]; next } FNR == 1 || $1 in labeled' "$data/shoelaces.csv" "$data/styles.csv" > "$out/catalog/styles.csv"
for part in images shoelaces.csv; do ln -sfn "$(realpath "$data/$part")" "$out/catalog/$part"; done
catalog=(--catalog "$out/catalog")

# The test side: the shoes that no model of ours is trained on (evaluate::data::split). Asked for and scored among them.
"$aglet" suite build "${catalog[@]}" --labeled-only --held-out --name "labeled shoes, held out" --out "$out/suite/suite.json"

service=""
trap '[ -z "$service" ] || kill "$service"' EXIT
serve() { # MODEL DATA
  "$aglet" import --model "$1" --data "$2" --styles "$out/catalog/styles.csv" --images "$out/catalog/images" \
    --shoelaces "$out/catalog/shoelaces.csv"
  "$aglet" serve --model "$1" --data "$2" --listen "127.0.0.1:$port" --words-percent 0 > "$2/serve.log" 2>&1 &
  service=$!
  for _ in $(seq 300); do
    curl -fsS -o "$2/ready.json" "http://127.0.0.1:$port/readyz" 2> "$2/ready.log" && return
    kill -0 "$service" || break
    sleep 0.2
  done
  cat "$2/serve.log" >&2
  return 1
}
stop() { kill "$service"; wait "$service" || true; service=""; }

# Every line of the tables but the first four, which name the place and the seconds.
table() { tail -n +5 "$1"; }

run() { # NAME MODEL [MORE]
  local name=$1 model=$2
  shift 2
  printf '\n=== %s: %s\n' "$name" "$model"
  "$aglet" evaluate retrieval --model "$model" --suite "$out/suite/suite.json" "${catalog[@]}" \
    --json "$out/$name.json" --html "$out/$name.html" --junit "$out/$name.xml" "$@" | tee "$out/$name.txt"
  rm -rf "$out/$name-service"
  mkdir -p "$out/$name-service"
  serve "$model" "$out/$name-service"
  "$aglet" evaluate retrieval --api "http://127.0.0.1:$port" --suite "$out/suite/suite.json" \
    --json "$out/$name-api.json" --html "$out/$name-api.html" > "$out/$name-api.txt"
  stop
  "$aglet" evaluate retrieval --model "$model" --suite "$out/suite/suite.json" "${catalog[@]}" > "$out/$name-folder.txt"
  if ! diff <(table "$out/$name-folder.txt") <(table "$out/$name-api.txt"); then
    echo "$name: the folder and the service score differently" >&2
    exit 1
  fi
  echo "$name: the folder and the service score the same"
  "$aglet" evaluate zero-shot --model "$model" "${catalog[@]}" --held-out --attribute shoelace_color --without none \
    --json "$out/$name-laces.json" --html "$out/$name-laces.html" "${laces[@]}" | tee "$out/$name-laces.txt"
}

laces=()
run base "$base"
laces=(--baseline "$out/base-laces.json")
run tuned "$tuned" --baseline "$out/base.json"
# The light set is the guard that says something of models that know photos on light ground alone: on the dark one they
# are at chance, from where nothing falls.
"$aglet" evaluate compare "$base" "$tuned" "${catalog[@]}" --suite "$out/suite/suite.json" \
  --labeled "fashion-mnist:$data/../fashion-mnist" --labeled "fashion-mnist-light:$data/../fashion-mnist" \
  --no-catalog-benchmark --cache "$out/cache" \
  --csv "$out/compare.csv" --markdown "$out/compare.md" --html "$out/compare.html"
