// ---- layers: the photograph, behind the crowd and on the ground; densities on the ground; where people may stand, 95 %; paths
const layers = { photo: null, density: null, spread: null, paths: null }, shown = { photo: false, density: false, spread: false, paths: false };
function texture(source, done) {
  const data = Uint8Array.from(atob(source.split(",")[1]), c => c.charCodeAt(0));
  createImageBitmap(new Blob([data]), { premultiplyAlpha: "premultiply" }).then(image => {
    const made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    for (const [key, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]])
      gl.texParameteri(gl.TEXTURE_2D, key, value);
    done(made);
  });
}
function offer(name, layer, on = false) {
  layers[name] = layer;
  const button = document.querySelector(`[data-layer=${name}]`);
  button.hidden = false;
  const turn = value => {
    shown[name] = value;
    button.setAttribute("aria-pressed", value);
    document.getElementById("legend").hidden = !shown.density;
    redraw();
  };
  button.onclick = () => turn(!shown[name]);
  turn(on || opened.getAll("layer").includes(name));
}

// Densities of a picture become a texture when they are first looked at; until then those of the one before stay.
const densities = [];
let groundDensity = null;
function useDensity() {
  const number = Math.min(now, timeline.length - 1);
  const use = made => { densities[number] = made; if (number === Math.min(now, timeline.length - 1)) groundDensity = made; redraw(); };
  if (densities[number]) use(densities[number]); else texture(info.density.images[number], use);
}

const UV = new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]);
const rectangle = corners => [new Float32Array(corners.flat()), UV];
function offerLayers() {
  if (info.photo) texture(info.photo, made => offer("photo", { made }));
  if (info.density) {
    const [x, z] = info.density.low, [w, d] = info.density.size, y = 0.003;
    const legend = document.getElementById("legend");
    for (const [colour, text] of info.density.legend) {
      const row = document.createElement("div"), swatch = document.createElement("i");
      swatch.style.background = colour; row.append(swatch, text); legend.append(row);
    }
    const [corners, uv] = rectangle([[x, y, z], [x + w, y, z], [x, y, z + d], [x + w, y, z + d]]);
    offer("density", { quad: mesh([[corners, 3, gl.FLOAT, false], [uv, 2, gl.FLOAT, false]]) });
  }
  if (moments.some(moment => moment.spread.some(spread => spread))) offer("spread", ellipses);
  if (info.paths.length) offer("paths", buildPaths(), true);
}

// What of the layers depends on the moment.
function showLayers() {
  if (layers.density) useDensity();
  const eye = [0, camera.height, 0], ahead = camera.back.map(x => -x);
  const far = 1.15 * people.reduce((most, p) => Math.max(most, dot(sub([p.x, 0, p.z], eye), ahead)), 10);
  const corners = camera.corners.map(c => { const d = sub(c, eye); return add(eye, d, far / dot(d, ahead)); });
  backdrop.fill(rectangle([corners[0], corners[1], corners[3], corners[2]]));
  showSpread();
}

// Of whoever is chosen, else of everybody.
function showSpread() {
  const lines = [], someone = chosenRow() >= 0;
  for (const p of people) if (p.spread && (!someone || p.id === chosen)) for (let k = 0; k < 48; k++) for (const turn of [k, k + 1]) {
    const c = Math.cos(turn * Math.PI / 24), s = Math.sin(turn * Math.PI / 24), [a, b, e, f] = p.spread;
    lines.push(p.x + a * c + b * s, p.y + 0.01, p.z + e * c + f * s);
  }
  ellipses.count = lines.length / 3;
  ellipses.fill([new Float32Array(lines)]);
}

// Two triangles per step; `side` moves their corners off the path by its width.
function buildPaths() {
  const position = [], side = [], time = [], colour = [];
  for (const path of info.paths) for (let k = 1; k < path.x.length; k++) {
    const [ax, az, bx, bz] = [path.x[k - 1], path.z[k - 1], path.x[k], path.z[k]], n = Math.hypot(bx - ax, bz - az) || 1;
    const sx = (bz - az) / n, sz = (ax - bx) / n;
    for (const [x, z, s] of [[ax, az, 1], [ax, az, -1], [bx, bz, 1], [bx, bz, 1], [ax, az, -1], [bx, bz, -1]]) {
      position.push(x, z); side.push(s * sx, s * sz); time.push(path.time[k]); colour.push(...path.colour, 255);
    }
  }
  const vao = mesh([[new Float32Array(position), 2, gl.FLOAT, false], [new Float32Array(side), 2, gl.FLOAT, false],
    [new Float32Array(time), 1, gl.FLOAT, false], [new Uint8Array(colour), 4, gl.UNSIGNED_BYTE, true]]);
  return { vao, count: time.length };
}
