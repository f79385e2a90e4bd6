// ---- views
const views = {
  overview: () => ({ target: info.centre, yaw: 0.5, pitch: 0.5, roll: 0, distance: 1.15 * info.extent + 4, fov: 0.7 }),
  top: () => ({ target: info.centre, yaw: 0, pitch: Math.PI / 2 - 1e-4, roll: 0, distance: 1.75 * info.extent + 4, fov: 0.7 }),
  photo: () => {
    const eye = [0, camera.height, 0], toEye = unit(camera.back), far = Math.hypot(...sub(info.centre, eye));
    // The point to turn around lies on the ground where the optical axis meets it, if that is near the crowd.
    const distance = Math.min(eye[1] / Math.max(toEye[1], 1e-3), 2 * far + 1);
    // The photograph's whole width stays in view whatever the shape of the window.
    const fov = 2 * Math.atan(Math.max(camera.tanX / (canvas.clientWidth / canvas.clientHeight), camera.tanY));
    const yaw = Math.atan2(toEye[0], toEye[2]), level = [Math.cos(yaw), 0, -Math.sin(yaw)];
    const roll = Math.atan2(dot(camera.right, cross(toEye, level)), dot(camera.right, level));
    return { target: add(eye, toEye, -distance), yaw, pitch: Math.asin(toEye[1]), roll, distance, fov };
  },
};
const closeTo = p => ({ ...view, target: [p.x, p.y + 0.9, p.z], distance: 7, fov: 0.7, roll: 0, pitch: clamp(view.pitch, 0.15, 0.6) });

function go(goal, seconds) {
  const from = { ...view, target: [...view.target] }, turn = Math.round((from.yaw - goal.yaw) / (2 * Math.PI)) * 2 * Math.PI, start = performance.now();
  const move = time => {
    const t = Math.min(1, seconds ? (time - start) / 1000 / seconds : 1), s = t * t * (3 - 2 * t);
    view.target = from.target.map((x, k) => lerp(x, goal.target[k], s));
    view.yaw = lerp(from.yaw, goal.yaw + turn, s);
    for (const name of ["pitch", "roll", "fov"]) view[name] = lerp(from[name], goal[name], s);
    view.distance = Math.exp(lerp(Math.log(from.distance), Math.log(goal.distance), s));
    redraw();
    if (t < 1) requestAnimationFrame(move);
  };
  if (seconds) requestAnimationFrame(move); else move(start);
}
for (const button of document.querySelectorAll("[data-view]")) button.onclick = () => go(views[button.dataset.view](), 0.7);

function turn(dx, dy) {
  view.yaw += dx;
  view.pitch = clamp(view.pitch + dy, 0.02, Math.PI / 2 - 1e-4);
  view.roll *= 0.8; // whoever turns a photograph's view soon stands upright
  redraw();
}
function zoom(factor) { view.distance = clamp(view.distance * factor, 0.8, 5000); redraw(); }
function pan(dx, dy) {
  const metres = metresPerPixel(), f = frame(), ahead = [-Math.sin(view.yaw), 0, -Math.cos(view.yaw)];
  view.target = add(add(view.target, f.right, -dx * metres), ahead, dy * metres / Math.max(Math.sin(view.pitch), 0.25));
  redraw();
}

document.getElementById("save").onclick = () => {
  draw();
  canvas.toBlob(data => {
    const link = document.createElement("a"), url = URL.createObjectURL(data);
    link.setAttribute("href", url); link.download = moments[now].label.replace(/\.\w+$/, "") + "_3d.png"; link.click();
    URL.revokeObjectURL(url);
  });
};

// ---- pointer: one turns, two move and zoom
const pointers = new Map();
let moved = 0;
canvas.addEventListener("contextmenu", e => e.preventDefault());
canvas.addEventListener("pointerdown", e => { canvas.setPointerCapture(e.pointerId); pointers.set(e.pointerId, [e.clientX, e.clientY]); moved = 0; });
canvas.addEventListener("pointermove", e => {
  const last = pointers.get(e.pointerId);
  if (!last) return;
  const dx = e.clientX - last[0], dy = e.clientY - last[1];
  moved += Math.abs(dx) + Math.abs(dy);
  if (pointers.size === 2) {
    const other = [...pointers].find(([id]) => id !== e.pointerId)[1];
    const before = Math.hypot(last[0] - other[0], last[1] - other[1]), after = Math.hypot(e.clientX - other[0], e.clientY - other[1]);
    zoom(before / Math.max(after, 1));
    pan(dx / 2, dy / 2);
  } else if (e.shiftKey || e.buttons & 6) pan(dx, dy);
  else turn(-dx * 0.006, dy * 0.006);
  pointers.set(e.pointerId, [e.clientX, e.clientY]);
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, e => {
  if (pointers.delete(e.pointerId) && name === "pointerup" && moved < 5 && e.button === 0) pick(e.clientX, e.clientY);
});
canvas.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(Math.sign(e.deltaY) * Math.min(Math.abs(e.deltaY), 120) * 0.0015)); }, { passive: false });
window.addEventListener("resize", redraw);
