"use strict";
const info = JSON.parse(document.getElementById("info").textContent);
const blob = id => Uint8Array.from(atob(document.getElementById(id).textContent.trim()), c => c.charCodeAt(0)).buffer;
const timeline = info.timeline, moments = info.before ? [...timeline, info.before] : timeline;
const TEXELS = 75, BONES_WIDTH = 16 * TEXELS, SHAPES_WIDTH = 1000; // texels per person: 24 bones of three rows, ten betas

document.querySelector("#about h1").textContent = document.title = info.title;
document.querySelector("#about p").textContent = info.figures;
const canvas = document.getElementById("scene");
canvas.setAttribute("aria-label", "3D view of " + info.title);
const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
if (!gl) { document.querySelector("#about p").textContent = "This browser offers no WebGL 2; open the page in another one."; throw new Error("no WebGL 2"); }
const opened = new URLSearchParams(location.hash.slice(1)); // before it is replaced by whoever is chosen
