// ---- choosing a person
const COMPASS = ["towards camera", "towards, right", "right", "away, right", "away", "away, left", "left", "towards, left"];
const facingText = degrees => `${COMPASS[(Math.round(degrees / 45) + 8) % 8]} (${String(Math.round(degrees)).replace("-", "−")}°)`;

function choose(row) {
  chosen = row < 0 ? null : people[row].id;
  opened.delete("person");
  if (chosen !== null) opened.set("person", chosen);
  history.replaceState(null, "", "#" + opened);
  showPerson();
  showSpread();
  redraw();
}

const metres = x => x.toFixed(2).replace("-", "−");
function figuresOf(p) {
  const sigma = k => p.sigma ? ` ± ${p.sigma[k].toFixed(2)}` : "";
  return [["right of camera", metres(p.x) + sigma(0) + " m"], ["in front", metres(-p.z) + sigma(1) + " m"],
    ["stature", p.stature.toFixed(2) + " m"], ["faces", facingText(p.facing)], ["score", p.score.toFixed(2)], ...p.more];
}

function showPerson() {
  const row = chosenRow(), panel = document.getElementById("person");
  panel.hidden = chosen === null;
  if (chosen === null) return;
  const mark = document.createElement("i");
  if (row >= 0) {
    ring.fill(squares([[people[row].x, people[row].y, people[row].z]], 0.75, 0.006));
    mark.style.background = `rgb(${people[row].colour})`;
  }
  panel.querySelector("h2").replaceChildren(...row < 0 ? [] : [mark], `Person ${chosen}`);
  const rows = row < 0 ? [["not in this picture", ""]] : figuresOf(people[row]);
  panel.querySelector("dl").replaceChildren(...rows.flatMap(pair => ["dt", "dd"].map((tag, k) => {
    const element = document.createElement(tag); element.textContent = pair[k]; return element; })));
}

function pick(x, y) {
  if (tape.on) { const point = onGround(x, y); if (point) lay(point); return; }
  const f = frame(), h = Math.tan(view.fov / 2), ray = rayAt(f, x, y);
  let best = -1, least = Infinity;
  people.forEach((p, i) => {
    // Closest approach of the ray to the person's upright axis; both parameters are held inside their segments.
    const w = sub([p.x, p.y, p.z], f.eye), ry = ray[1], c = 1 - ry * ry;
    const up = c > 1e-6 ? clamp((ry * dot(ray, w) - w[1]) / c, 0, p.top - p.y) : 0;
    const q = add(w, [0, 1, 0], up), along = dot(ray, q), miss = Math.hypot(...add(q, ray, -along));
    // A hit of the body counts before a near miss by some pixels, which is what a finger or a dot from afar needs.
    const near = along > 0 && miss / along < 16 * h / canvas.clientHeight;
    const cost = along > 0 && miss < 0.32 ? along : near ? 1e6 + miss / along : Infinity;
    if (cost < least) { least = cost; best = i; }
  });
  choose(best);
}
