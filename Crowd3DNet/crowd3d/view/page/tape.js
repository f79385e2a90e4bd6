// ---- measuring tape: two clicks on the ground, or twice Enter for the middle of the view
const tape = { on: false, ends: [], strip: null };
function onGround(x, y) {
  const f = frame(), ray = rayAt(f, x, y);
  return ray[1] < -1e-4 ? add(f.eye, ray, -f.eye[1] / ray[1]) : null;
}
function lay(point) {
  if (tape.ends.length === 2) tape.ends = [];
  tape.ends.push(point);
  const told = document.getElementById("tape"), [a, b] = tape.ends;
  if (!b) { told.textContent = "now the other end"; tape.strip = null; return redraw(); }
  const along = sub(b, a), length = Math.hypot(...along), width = Math.max(0.03, view.distance / 500);
  const side = unit([along[2], 0, -along[0]]).map(s => s * width), up = [0, 0.02, 0];
  tape.strip = mesh([[new Float32Array([add(a, side), add(a, side, -1), add(b, side), add(b, side, -1)].flatMap(p => add(p, up))), 3, gl.FLOAT, false]]);
  const share = moments[now].scaleSigma, sigma = share ? ` ± ${Math.max(length * share, 0.01).toFixed(2)}` : "";
  told.textContent = length.toFixed(2) + sigma + " m";
  redraw();
}
document.getElementById("measure").onclick = e => {
  tape.on = !tape.on;
  e.currentTarget.setAttribute("aria-pressed", tape.on);
  tape.ends = []; tape.strip = null;
  const told = document.getElementById("tape");
  told.hidden = document.getElementById("cross").hidden = !tape.on;
  told.textContent = "click two points of the ground";
  redraw();
};
