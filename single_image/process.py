"""Photograph → tiles, 2D keypoints, camera and ground. The same as `crowd3d process`."""

from crowd3d.cli.process import main

if __name__ == "__main__":
    raise SystemExit(main())
