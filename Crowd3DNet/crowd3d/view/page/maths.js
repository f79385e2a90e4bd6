// ---- vectors and matrices, column-major as in WebGL
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const unit = a => { const n = Math.hypot(...a) || 1; return a.map(x => x / n); };
const add = (a, b, t = 1) => [a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]];
const lerp = (a, b, t) => a + (b - a) * t;
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

// ---- from where one looks: around a target on or above the ground
const view = { target: [0, 0, 0], yaw: 0, pitch: 0.6, roll: 0, distance: 50, fov: 0.7 };

function frame() {
  const toEye = [Math.sin(view.yaw) * Math.cos(view.pitch), Math.sin(view.pitch), Math.cos(view.yaw) * Math.cos(view.pitch)];
  const level = [Math.cos(view.yaw), 0, -Math.sin(view.yaw)];
  const right = add(level.map(x => x * Math.cos(view.roll)), cross(toEye, level), Math.sin(view.roll));
  return { eye: add(view.target, toEye, view.distance), back: toEye, right, up: cross(toEye, right) };
}

function viewProjection(f) {
  const aspect = canvas.width / canvas.height, h = Math.tan(view.fov / 2);
  const near = Math.max(0.05, view.distance / 400), far = view.distance * 4 + 4000;
  const a = (far + near) / (near - far), b = 2 * far * near / (near - far);
  const rows = [[f.right, aspect * h], [f.up, h]].map(([axis, s]) => [...axis, -dot(axis, f.eye)].map(x => x / s));
  const back = [...f.back, -dot(f.back, f.eye)];
  const m = new Float32Array(16);
  for (let i = 0; i < 4; i++) {
    m[4 * i] = rows[0][i]; m[4 * i + 1] = rows[1][i];
    m[4 * i + 2] = a * back[i] + (i === 3 ? b : 0); m[4 * i + 3] = -back[i];
  }
  return m;
}

function rayAt(f, x, y) {
  const h = Math.tan(view.fov / 2), aspect = canvas.clientWidth / canvas.clientHeight;
  const a = (2 * x / canvas.clientWidth - 1) * h * aspect, b = (1 - 2 * y / canvas.clientHeight) * h;
  return unit(add(add(f.right.map(v => v * a), f.up, b), f.back, -1));
}

const metresPerPixel = () => 2 * view.distance * Math.tan(view.fov / 2) / canvas.clientHeight;
