"""
The study's start beside the same stage trained by train.py, on the same scenes: figures must agree within noise.

    python train.py recipes/overlap_scenes.yaml --stage pretrain --seed 15 --data.scenes.seed 15 --output_dir RUN
    python benchmarks/overlap_study/compare_with_train.py RUN --seed 15 --row control

What differs: train.py draws other batches and another patchout, its batches may be one fewer an epoch, and it saves
the weights of the best validation epoch. The last checkpoint is compared too.
"""

import argparse
import json
from pathlib import Path

import torch
from run import RECIPE, ROWS_DIR, Workshop, row_path
from training_loop import embed, figures

from auricle.files.saved_directories import last_complete_checkpoint
from auricle.training.models.model_building import load_model

SHOWN = ("multi_text_to_audio_mAP@16", "multi_audio_to_text_mAP@16", "single_text_to_audio_mAP@16")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="output directory of train.py")
    parser.add_argument("--seed", type=int, required=True, help="of the run and of its scenes")
    parser.add_argument("--row", default="control", help="any finished row of the seed, whose start is shown")
    parser.add_argument("--rows-dir", type=Path, default=ROWS_DIR, help="default: %(default)s")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/overlap_study"), help="as of run.py")
    arguments = parser.parse_args()
    stage = arguments.run / "pretrain"
    checkpoint = last_complete_checkpoint(stage)
    places = {"train.py, best validation epoch": stage / "model"}
    if checkpoint is not None:
        places["train.py, last step"] = checkpoint
    work = Workshop(RECIPE, arguments.seed, arguments.work_dir)
    split = work.splits["test"]
    row = json.loads(row_path(arguments.rows_dir, arguments.row, arguments.seed).read_text(encoding="utf-8"))
    print("| test split | " + " | ".join(SHOWN) + " |\n|---|---|---|---|")
    found = {"the study's start": row["start"]["test"]}
    for name, place in places.items():
        clips, captions = embed(load_model(str(place)).model, split)
        found[name] = figures(clips @ captions.T, split)
    for name, values in found.items():
        print(f"| {name} | " + " | ".join(f"{values[figure]:.4f}" for figure in SHOWN) + " |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
