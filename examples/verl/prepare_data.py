"""Write the Parquet files and rewards of a configuration's tasks: prepare_data.py three_tasks.yaml data/three_tasks"""

import argparse
from pathlib import Path

import yaml

from mtgrpo.integrations.verl.rows import write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file with the key `tasks`")
    parser.add_argument("folder", type=Path, help="where to write; every node must see it")
    arguments = parser.parse_args()
    tasks = yaml.safe_load(arguments.config.read_text())["tasks"]
    for name, splits in write_rows(tasks, arguments.folder).items():
        print(f"{name}: {splits['train']} train, {splits['test']} test rows")


if __name__ == "__main__":
    main()
