"""pytorch3d in place of the built-in z-buffer, for those who have it: the same pictures, its conventions converted.

pytorch3d's camera looks along +z with x to the left and y up; focal length and principal point may be given in pixels, whose origin is
the corner of the first pixel, as here. Its depths are those along the axis in the unit of the points.
"""

from __future__ import annotations

import importlib

import numpy as np

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera
from crowd3d.raster.kernels import NEAR_PLANE_M
from crowd3d.raster.render import Renderer, render_meshes, shade

AXES = np.diag([-1.0, -1.0, 1.0])
"""From our camera frame (x right, y down, z forward) to pytorch3d's; either way."""


def find_renderer(name: str) -> Renderer:
    """``builtin`` or ``pytorch3d`` → what draws.

    Raises:
        MissingAsset: pytorch3d cannot be imported.
    """
    if name == "builtin":
        return render_meshes
    try:
        importlib.import_module("pytorch3d.renderer")
    except ImportError as error:
        remedy = "build it as its INSTALL.md says, for this torch, or leave out --renderer pytorch3d"
        raise MissingAsset(f"pytorch3d cannot be used: {error}; {remedy}") from error
    return render_with_pytorch3d


def render_with_pytorch3d(
    vertices_cam_m: np.ndarray, faces: np.ndarray, colours: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw N closed meshes with shared faces; arguments and results as of `crowd3d.raster.render_meshes`."""
    import torch
    from pytorch3d.renderer import MeshRasterizer, PerspectiveCameras, RasterizationSettings
    from pytorch3d.structures import Meshes

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = (camera.height, camera.width)
    cameras = PerspectiveCameras(
        focal_length=((camera.fx, camera.fy),),
        principal_point=((camera.cx, camera.cy),),
        R=torch.from_numpy(AXES[None]).float(),
        T=torch.zeros(1, 3),
        in_ndc=False,
        image_size=(size,),
        device=device,
    )
    points = bent(vertices_cam_m, camera)
    number, triangles = _drawable(points, faces)
    identity, depth = np.zeros(size, np.int32), np.zeros(size, np.float32)
    image = np.zeros((*size, 3), np.uint8)
    if len(triangles) == 0:
        return image, identity, depth
    # Closed surfaces hide their own back faces, so that nothing has to be culled.
    settings = RasterizationSettings(
        image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=True, cull_backfaces=False
    )
    meshes = Meshes(
        [torch.from_numpy(points.reshape(-1, 3)).float().to(device)], [torch.from_numpy(triangles.astype(np.int64)).to(device)]
    )
    fragments = MeshRasterizer(cameras=cameras, raster_settings=settings)(meshes)
    face, depths = (values[0, ..., 0].cpu().numpy() for values in (fragments.pix_to_face, fragments.zbuf))
    drawn = face >= 0
    share = fragments.bary_coords[0, ..., 0, :].cpu().numpy()[drawn]
    shaded = shade(vertices_cam_m, faces, colours).reshape(-1, 3)
    identity[drawn], depth[drawn] = number[face[drawn]] + 1, 1.0 / depths[drawn]
    image[drawn] = np.clip(np.rint((share[..., None] * shaded[triangles[face[drawn]]]).sum(1)), 0, 255)
    return image, identity, depth


def bent(points_cam_m: np.ndarray, camera: Camera) -> np.ndarray:
    """Points (N, V, 3) that a camera without lens sees where `camera` sees the given ones, at the same depths; NaN where it does not."""
    if camera.distortion is None:
        return points_cam_m
    depth = points_cam_m[..., 2:]
    return np.concatenate([(camera.project(points_cam_m) - (camera.cx, camera.cy)) / (camera.fx, camera.fy) * depth, depth], -1)


def _drawable(points_cam_m: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T,) mesh number and (T, 3) vertices of all triangles that lie in front of the camera, over the points of all meshes."""
    vertices = points_cam_m.shape[1]
    usable = (np.isfinite(points_cam_m).all(-1) & (points_cam_m[..., 2] >= NEAR_PLANE_M))[:, faces].all(-1)
    number, row = np.nonzero(usable)
    return number, faces[row] + number[:, None] * vertices
