"""LargeCrowd benchmark, first step: camera and ground of every scene."""

from crowd3d.cli.preprocess import main

if __name__ == "__main__":
    raise SystemExit(main())
