// ---- a figure over the pictures of a sequence, above the slider: line, and band of 68 %
const curve = document.getElementById("curve"), CURVE_H = 100;
function curveFigure(number) {
  const { value, low, high, unit } = info.curve, digits = clamp(2 - Math.floor(Math.log10(Math.max(...high, 1e-3))), 0, 3);
  if (value[number] === null) return "not enough seen here";
  const [middle, from, to] = [value, low, high].map(part => part[number].toFixed(digits));
  return `${middle} (${from}–${to}) ${unit}`;
}
function drawCurve() {
  const { value, low, high, unit } = info.curve, last = Math.max(1, value.length - 1), top = Math.max(...high, 1e-3);
  const at = (k, v) => `${(1000 * k / last).toFixed(2)} ${(CURVE_H * (1 - v / top)).toFixed(2)}`;
  // Pictures of nobody interrupt line and band.
  const runs = [];
  value.forEach((v, k) => { if (v !== null) (k && value[k - 1] !== null ? runs.at(-1) : runs[runs.push([]) - 1]).push(k); });
  const bands = runs.map(run => `M${[...run.map(k => at(k, high[k])), ...run.map(k => at(k, low[k])).reverse()].join("L")}Z`);
  const lines = runs.map(run => `M${run.map(k => at(k, value[k])).join("L")}h.1`);
  curve.querySelector(".band").setAttribute("d", bands.join(""));
  curve.querySelector(".line").setAttribute("d", lines.join(""));
  document.querySelector("#most span").textContent = `${top.toPrecision(2)} ${unit}`;
}
function showCurve(number) {
  for (const id of ["curve", "most", "figure"]) document.getElementById(id).toggleAttribute("hidden", number >= timeline.length);
  if (number >= timeline.length) return;
  curve.querySelector(".now").setAttribute("d", `M${1000 * number / Math.max(1, timeline.length - 1)} 0V${CURVE_H}`);
  document.getElementById("figure").textContent = `${info.curve.name}: ${curveFigure(number)}`;
}
