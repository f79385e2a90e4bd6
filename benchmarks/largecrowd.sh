#!/usr/bin/env bash
# The LargeCrowd benchmark on a synthetic copy, from nothing to the table, and what must not change its result:
# a run that is killed and started again, two processes instead of one, a damaged picture in the middle.
#
#   benchmarks/largecrowd.sh FOLDER
#
# Settings (environment): SIZE=3200x1080 PEOPLE=40 SCENES=4 FRAMES=5 CAMERA=playground1_00 BACKEND=embedded KEYPOINTS= PYTHON=.venv/bin/python
# FOLDER/data is made unless it is there. KEYPOINTS: keypoints of all pictures for BACKEND=file, which spares the search for people.
# SIZE=1600x540 PEOPLE=20 SCENES=2 FRAMES=3 CAMERA=stadiumEntrance_00 is enough for everything but the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
out=$(realpath -m "${1:?say where the files go}")
data=$out/data
pose=(--pose_backend "${BACKEND:-embedded}")
[ -z "${KEYPOINTS:-}" ] || pose+=(--keypoints "$KEYPOINTS")
frames() { find "$1/infer" -name scene.npz 2>/dev/null | wc -l; }
use() { export CROWD3D_TEST_MID_ROOT=$out/$1/mid CROWD3D_TEST_RES_ROOT=$out/$1/res; }
infer() { "$python" test/inference_eval.py --data_root "${1:-$data}" "${pose[@]}"; }
same() { cmp "$1/predict.json" "$2/predict.json" && cmp "$1/predict_extra.json" "$2/predict_extra.json"; }

echo "== the three commands"
[ -d "$data" ] || "$python" -m crowd3d.cli.main synthesize --format largecrowd --output "$data" --scenes "${SCENES:-4}" --frames "${FRAMES:-5}" \
    --size "${SIZE:-3200x1080}" --people "${PEOPLE:-40}" --camera "${CAMERA:-playground1_00}"
use one
time "$python" test/preprocess.py --data_root "$data" "${pose[@]}"
cp -r "$out/one" "$out/prepared"
time infer
one=$out/one/res/submit/ground_epoch_159
"$python" test/evaluate.py --truth "$data" --predict "$one/predict.json"

echo "== killed after the first picture, started again"
cp -r "$out/prepared" "$out/killed"
use killed
infer > "$out/killed.log" 2>&1 &
running=$!
until [ "$(frames "$out/killed/res")" -gt 0 ]; do sleep 0.2; done
kill -KILL "$running"
wait "$running" || echo "killed with $(frames "$out/killed/res") pictures done"
infer
same "$one" "$out/killed/res/submit/ground_epoch_159"

echo "== two processes"
cp -r "$out/prepared" "$out/two"
use two
"$python" -m torch.distributed.run --standalone --nproc_per_node 2 test/inference_eval.py --data_root "$data" "${pose[@]}"
same "$one" "$out/two/res/submit/ground_epoch_159"

echo "== a damaged picture in the middle"
cp -r "$data" "$out/damaged_data"
cp -r "$out/prepared" "$out/damaged"
use damaged
victim=$(find "$out/damaged_data/images/test" -name '*.jpg' | sort | sed -n 2p)
truncate --size=20000 "$victim"
if infer "$out/damaged_data"; then
    echo "the exit code does not tell that $victim was skipped"
    exit 1
fi
"$python" - "$one/predict.json" "$out/damaged/res/submit/ground_epoch_159/predict.json" "$(basename "$victim")" <<'PYTHON'
import json
import sys

whole, rest = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:3])
del whole[sys.argv[3]]
assert whole == rest, "the other pictures changed"
print(f"{sys.argv[3]} skipped, the other {len(rest)} pictures are as before")
PYTHON
echo "== all as it must be"
