"""LargeCrowd benchmark, third step: score predict.json. The same as `crowd3d evaluate --predict … --truth …`."""

from crowd3d.cli.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
