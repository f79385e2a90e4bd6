"""LargeCrowd benchmark, second step: everybody in every picture → predict.json."""

from crowd3d.cli.inference_eval import main

if __name__ == "__main__":
    raise SystemExit(main())
