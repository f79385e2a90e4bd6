// ---- drawing, only when something changed
let pending = false;
function redraw() { if (!pending) { pending = true; requestAnimationFrame(draw); } }

function draw() {
  pending = false;
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  gl.viewport(0, 0, width, height);
  gl.clearColor(.875, .902, .925, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const f = frame(), vp = viewProjection(f), focal = height / 2 / Math.tan(view.fov / 2);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  gl.disable(gl.DEPTH_TEST);
  drawGround(vp);
  gl.disable(gl.BLEND);
  gl.enable(gl.DEPTH_TEST);
  ink(vp, frustum.vao, 16, [0, .35, .55]);
  if (shown.spread) ink(vp, ellipses.vao, ellipses.count, [.15, .17, .2]);
  if (tape.strip) ink(vp, tape.strip, 4, [.84, .37, 0], gl.TRIANGLE_STRIP);
  gl.enable(gl.CULL_FACE);
  drawBodies(vp, f, focal);
  gl.disable(gl.CULL_FACE);
  gl.enable(gl.BLEND);
  use(vp, dotProgram, dots.vao);
  gl.uniform1f(dotProgram.at("focal"), focal);
  gl.uniform1f(dotProgram.at("size"), 9 * ratio);
  gl.drawArrays(gl.POINTS, 0, people.length);
  drawScale();
}

function use(vp, program, vao) { gl.useProgram(program.p); gl.uniformMatrix4fv(program.at("vp"), false, vp); gl.bindVertexArray(vao); }
function ink(vp, vao, count, colour, kind = gl.LINES) { use(vp, lineProgram, vao); gl.uniform3fv(lineProgram.at("ink"), colour); gl.drawArrays(kind, 0, count); }

// Everything that lies on the ground, in the order in which it lies there.
function drawGround(vp) {
  if (shown.photo) {
    use(vp, pictureProgram, backdrop.vao);
    gl.bindTexture(gl.TEXTURE_2D, layers.photo.made);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
  use(vp, groundProgram, ground);
  gl.uniform1f(groundProgram.at("photoOn"), shown.photo ? 1 : 0);
  gl.uniformMatrix4fv(groundProgram.at("photoMatrix"), false, camera.matrix);
  gl.uniform3fv(groundProgram.at("centre"), view.target);
  gl.uniform1f(groundProgram.at("reach"), Math.max(view.distance * 4, 60));
  gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  if (shown.density && groundDensity) {
    use(vp, pictureProgram, layers.density.quad);
    gl.bindTexture(gl.TEXTURE_2D, groundDensity);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
  if (shown.paths) {
    use(vp, pathProgram, layers.paths.vao);
    gl.uniform1f(pathProgram.at("wide"), Math.max(0.03, 1.6 * metresPerPixel()));
    gl.uniform1f(pathProgram.at("now"), moments[now].time + 1e-3);
    gl.drawArrays(gl.TRIANGLES, 0, layers.paths.count);
  }
  use(vp, shadowProgram, shadows.vao);
  gl.uniform1f(shadowProgram.at("ring"), 0);
  gl.drawArrays(gl.TRIANGLES, 0, 6 * people.length);
  if (chosenRow() >= 0) {
    use(vp, shadowProgram, ring.vao);
    gl.uniform1f(shadowProgram.at("ring"), 1);
    gl.drawArrays(gl.TRIANGLES, 0, 6);
  }
}
const ground = mesh([[new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), 2, gl.FLOAT, false]]);

// A round length of 60 to 150 pixels, true at the distance of the middle of the view.
function drawScale() {
  const metre = 1 / metresPerPixel(), power = 10 ** Math.floor(Math.log10(150 / metre));
  const length = power * [5, 2, 1].find(k => k * power * metre <= 150), bar = document.getElementById("scale");
  bar.querySelector("i").style.width = length * metre + "px";
  bar.querySelector("span").textContent = `${length < 1 ? length.toFixed(1) : length} m in the middle`;
}
