// ---- keys: one table for what they do and for the help
const press = selector => () => document.querySelector(selector).click();
const offered = selector => !document.querySelector(selector).closest("[hidden]");
const next = by => { if (people.length) choose((Math.max(chosenRow(), by > 0 ? -1 : 0) + by + people.length) % people.length); };
const help = document.getElementById("help");
const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const keys = [
  [["Tab"], "from button to button"],
  [Object.keys(arrows), "turn; with Shift: move", e => { const [x, y] = arrows[e.key]; if (e.shiftKey) pan(-40 * x, 40 * y); else turn(-0.1 * x, 0.08 * y); }],
  [["+", "-"], "nearer, farther", e => zoom(e.key === "+" ? 0.85 : 1 / 0.85)],
  ...["overview", "photo", "top"].map((name, k) => [[`${k + 1}`], ["overview", "the photograph's camera", "from above"][k], press(`[data-view=${name}]`)]),
  [["n", "N"], "next, previous person", e => next(e.key === "n" ? 1 : -1)],
  [["f"], "go to the chosen person", () => { if (chosenRow() >= 0) go(closeTo(people[chosenRow()]), 0.7); }],
  [[" "], "play, pause", press("#play"), "#play"],
  [[",", "."], "previous, next picture", e => stepBy(e.key === "." ? 1 : -1), "#play"],
  [["b"], "before and after the optimisation", press("#before"), "#before"],
  [["p"], "photograph", press("[data-layer=photo]"), "[data-layer=photo]"],
  [["d"], "density", press("[data-layer=density]"), "[data-layer=density]"],
  [["u"], "uncertainty: where people may stand, 95 %", press("[data-layer=spread]"), "[data-layer=spread]"],
  [["w"], "ways of people", press("[data-layer=paths]"), "[data-layer=paths]"],
  [["t"], "tape: two clicks on the ground", press("#measure")],
  [["Enter"], "an end of the tape in the middle of the view", () => { if (tape.on) lay(onGround(canvas.clientWidth / 2, canvas.clientHeight / 2) || view.target); }],
  [["s"], "save the picture", press("#save")],
  [["Escape"], "nobody chosen, tape away", () => { if (tape.on) press("#measure")(); choose(-1); }],
  [["h", "?"], "this help", press("#ask")],
];
const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", N: "Shift+n", Escape: "Esc" };
document.getElementById("ask").onclick = () => {
  help.querySelector("dl").replaceChildren(...keys.filter(([, , , button]) => !button || offered(button)).flatMap(([names, text]) => {
    const signs = document.createElement("dt"), told = document.createElement("dd");
    signs.append(...names.flatMap(name => { const sign = document.createElement("kbd"); sign.textContent = SIGNS[name] || name; return [sign, " "]; }));
    told.textContent = text;
    return [signs, told];
  }));
  help.showModal();
};
window.addEventListener("keydown", e => {
  const at = document.activeElement;
  // A slider has its own arrows, a focused button its own Enter and Space.
  if (e.ctrlKey || e.metaKey || e.altKey || help.open || at.tagName === "INPUT" && e.key.startsWith("Arrow") || at.tagName === "BUTTON" && [" ", "Enter"].includes(e.key)) return;
  const entry = keys.find(([names, , act, button]) => act && names.includes(e.key) && (!button || offered(button)));
  if (entry) { e.preventDefault(); entry[2](e); }
});
// Whoever clicks with a mouse goes on with keys that are not those of the button.
for (const button of document.querySelectorAll("button")) button.addEventListener("click", e => { if (e.detail) button.blur(); });

// ---- first picture: "#person=3" opens the page on somebody, "#view=photo", "#layer=density", "#moment=4", "#before" as they say
offerLayers();
show(opened.has("before") && info.before ? timeline.length : clamp(Number(opened.get("moment")) || 0, 0, timeline.length - 1));
go((views[opened.get("view")] || views.overview)(), 0);
if (opened.has("person") && people.some(p => p.id === Number(opened.get("person")))) {
  choose(people.findIndex(p => p.id === Number(opened.get("person"))));
  if (!opened.has("view")) go(closeTo(people[chosenRow()]), 0);
}
