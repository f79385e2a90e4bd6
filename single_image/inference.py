"""Processed photograph → everybody as a body in one metric world. The same as `crowd3d infer`."""

from crowd3d.cli.inference import main

if __name__ == "__main__":
    raise SystemExit(main())
