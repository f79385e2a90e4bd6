// ---- pictures of a sequence one after the other, and the state before the optimisation
const LONGEST_S = 1; // pictures that are farther apart follow one another faster than they were taken
const slider = document.querySelector("#time input"), player = document.getElementById("play"), beforeButton = document.getElementById("before");
const isBefore = () => now >= timeline.length;
let timer = null;

function showTime() {
  document.getElementById("time").hidden = timeline.length < 2;
  slider.value = now;
  const { label, time, id } = moments[now], text = `${time.toFixed(2)} s · ${id.length} people · ${label}`;
  document.querySelector("#time output").textContent = text;
  if (info.curve) showCurve(now);
  slider.setAttribute("aria-valuetext", info.curve && !isBefore() ? `${text} · ${info.curve.name} ${curveFigure(now)}` : text);
  beforeButton.setAttribute("aria-pressed", isBefore());
}
function play(on) {
  clearTimeout(timer);
  timer = null;
  player.textContent = on ? "Pause" : "Play";
  player.setAttribute("aria-pressed", on);
  if (!on) return;
  const next = () => {
    if (now === timeline.length - 1) return play(false);
    timer = setTimeout(() => { show(now + 1); next(); }, 1000 * clamp(timeline[now + 1].time - timeline[now].time, 0.01, LONGEST_S));
  };
  if (now === timeline.length - 1) show(0);
  next();
}
const stepBy = by => { play(false); show(clamp(now + by, 0, timeline.length - 1)); };
if (info.curve) drawCurve();
slider.max = timeline.length - 1;
slider.oninput = () => { play(false); show(Number(slider.value)); };
player.onclick = () => play(timer === null);
beforeButton.hidden = !info.before;
beforeButton.onclick = () => show(isBefore() ? 0 : timeline.length);
