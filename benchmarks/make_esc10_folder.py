"""Makes a captioned folder of ESC-10, for the recipes recipes/esc10_*.yaml.

    python benchmarks/make_esc10_folder.py SOURCE OUT

SOURCE holds ESC-10, in one of two layouts: `labels.csv` with the columns file_name, label and fold, or the
published ESC-50 repository (`meta/esc50.csv` and `audio/`), of which the ten classes are taken. OUT gets links
to the sounds (copies where links are not possible) and `metadata.csv`: folds 1 to 4 are `train`, fold 5 is
`test`, and every clip gets the captions that the templates below make of nothing but its class name.
"""

import argparse
import csv
import os
import shutil
from pathlib import Path

# Training and test queries share the class words and differ in the words around them.
TRAIN_TEMPLATES = (
    "{label}",
    "the sound of {label}",
    "a recording of {label}",
    "{label} can be heard",
    "one hears {label} here",
    "an audio clip with {label}",
)
TEST_TEMPLATES = (
    "this is {label}",
    "somewhere there is {label}",
    "a short field recording in which {label} is audible",
    "{label} in the distance or close by",
)


def read_labels(source: Path) -> list[dict[str, str]]:
    """Rows with path (relative to the source), label and fold of all 400 clips."""
    if (source / "labels.csv").is_file():
        with open(source / "labels.csv", newline="", encoding="utf-8") as file:
            return [
                {"path": row["file_name"], "label": row["label"].replace("_", " "), "fold": row["fold"]}
                for row in csv.DictReader(file)
            ]
    table = source / "meta" / "esc50.csv"
    if not table.is_file():
        raise SystemExit(
            f"{source}: holds neither labels.csv nor meta/esc50.csv; give a copy of ESC-10 or ESC-50."
        )
    with open(table, newline="", encoding="utf-8") as file:
        return [
            {
                "path": f"audio/{row['filename']}",
                "label": row["category"].replace("_", " "),
                "fold": row["fold"],
            }
            for row in csv.DictReader(file)
            if row["esc10"] == "True"
        ]


def make_folder(source: Path, out: Path, shuffle_seed: int | None = None) -> int:
    """Writes the captioned folder and returns the number of its clips.

    With `shuffle_seed` the training clips' labels are permuted: a control that must learn nothing.
    """
    rows = read_labels(source)
    if shuffle_seed is not None:
        import numpy as np

        train = [index for index, row in enumerate(rows) if row["fold"] != "5"]
        labels = [rows[index]["label"] for index in train]
        for index, place in zip(
            train, np.random.default_rng(shuffle_seed).permutation(len(train)), strict=True
        ):
            rows[index]["label"] = labels[place]
    (out / "audio").mkdir(parents=True, exist_ok=True)
    names = [f"caption_{number}" for number in range(1, len(TRAIN_TEMPLATES) + 1)]
    with open(out / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "split", "label", "license", *names])
        for row in rows:
            target = out / "audio" / Path(row["path"]).name
            if not target.exists():
                try:
                    os.symlink((source / row["path"]).resolve(), target)
                except OSError:
                    shutil.copyfile(source / row["path"], target)
            split = "test" if row["fold"] == "5" else "train"
            templates = TEST_TEMPLATES if split == "test" else TRAIN_TEMPLATES
            captions = [template.format(label=row["label"]) for template in templates]
            captions += [""] * (len(names) - len(captions))
            writer.writerow([f"audio/{target.name}", split, row["label"], "CC-BY-3.0", *captions])
    return len(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="directory of ESC-10 or ESC-50")
    parser.add_argument("out", type=Path, help="captioned folder to write")
    parser.add_argument("--shuffle-seed", type=int, help="permute the training labels: a control")
    arguments = parser.parse_args()
    count = make_folder(arguments.source, arguments.out, arguments.shuffle_seed)
    print(f"{count} clips in {arguments.out}")


if __name__ == "__main__":
    main()
