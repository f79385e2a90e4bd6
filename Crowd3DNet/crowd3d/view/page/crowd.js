// ---- the crowd: one body in two levels of detail, drawn once per level for everybody
const FAR_PX = 70; // people less tall than this are drawn with the coarse body
const { vertices: V, faces: F, farFaces, step } = info.body;

function reader(buffer) {
  let at = 0;
  return (kind, count) => { const part = new kind(buffer, at, count); at += part.byteLength; return part; };
}

const readBody = reader(blob("body"));
const bodyMesh = {
  rest: readBody(Float32Array, 3 * V), shapes: readBody(Float32Array, 30 * V), index: readBody(Uint32Array, 3 * (F + farFaces)),
  weights: readBody(Uint16Array, 8 * V), joints: readBody(Uint8Array, 8 * V), normal: readBody(Int8Array, 4 * V),
};
const total = moments.reduce((sum, moment) => sum + moment.id.length, 0);
const readCrowd = reader(blob("crowd"));
const crowd = {
  origin: readCrowd(Float32Array, 3 * total), betas: readCrowd(Float32Array, 10 * total),
  turn: readCrowd(Int16Array, 96 * total), shift: readCrowd(Int16Array, 72 * total),
};

function dataTexture(width, data, parts) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
  if (data) fillTexture(width, data, parts);
  return made;
}
function fillTexture(width, data, parts) {
  const height = Math.max(1, Math.ceil(data.length / parts / width)), whole = new Float32Array(width * height * parts);
  whole.set(data);
  const [inside, format] = parts === 3 ? [gl.RGB32F, gl.RGB] : [gl.RGBA32F, gl.RGBA];
  gl.texImage2D(gl.TEXTURE_2D, 0, inside, width, height, 0, format, gl.FLOAT, whole);
}

// Eight weights of a vertex as two attributes of four.
const half = (data, kind, part) => kind.from({ length: 4 * V }, (_, i) => data[8 * (i >> 2) + 4 * part + i % 4]);
const bodies = mesh([
  [bodyMesh.rest, 3, gl.FLOAT, false], [bodyMesh.normal, 4, gl.BYTE, true],
  [half(bodyMesh.joints, Uint8Array, 0), 4, gl.UNSIGNED_BYTE, false], [half(bodyMesh.joints, Uint8Array, 1), 4, gl.UNSIGNED_BYTE, false],
  [half(bodyMesh.weights, Uint16Array, 0), 4, gl.UNSIGNED_SHORT, true], [half(bodyMesh.weights, Uint16Array, 1), 4, gl.UNSIGNED_SHORT, true],
], bodyMesh.index);
const rowsBuffer = gl.createBuffer();
gl.bindBuffer(gl.ARRAY_BUFFER, rowsBuffer);
for (const location of [6, 7]) { gl.enableVertexAttribArray(location); gl.vertexAttribDivisor(location, 1); }
gl.vertexAttribIPointer(6, 1, gl.UNSIGNED_INT, 8, 0);
gl.vertexAttribPointer(7, 4, gl.UNSIGNED_BYTE, true, 8, 4);
const shapeTexture = dataTexture(SHAPES_WIDTH, bodyMesh.shapes, 3), boneTexture = dataTexture(BONES_WIDTH);

// Three rows of each bone's matrix, then the betas.
function bonesOf(first, count) {
  const out = new Float32Array(4 * TEXELS * count);
  for (let i = 0; i < count; i++) {
    const body = first + i;
    for (let j = 0; j < 24; j++) {
      const q = 96 * body + 4 * j, t = 72 * body + 3 * j, o = 4 * TEXELS * i + 12 * j;
      const n = Math.hypot(crowd.turn[q], crowd.turn[q + 1], crowd.turn[q + 2], crowd.turn[q + 3]);
      const x = crowd.turn[q] / n, y = crowd.turn[q + 1] / n, z = crowd.turn[q + 2] / n, w = crowd.turn[q + 3] / n;
      const at = k => crowd.origin[3 * body + k] + crowd.shift[t + k] * step;
      out.set([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), at(0),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), at(1),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), at(2)], o);
    }
    out.set(crowd.betas.subarray(10 * body, 10 * body + 10), 4 * TEXELS * i + 288);
  }
  return out;
}

// Six corners each of squares on the ground.
function squares(centres, radius, height) {
  const position = [], uv = [];
  for (const [x, y, z] of centres)
    for (const [a, b] of [[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]]) { position.push(x + a * radius, y + height, z + b * radius); uv.push(a, b); }
  return [new Float32Array(position), new Float32Array(uv)];
}
// Buffers of what changes with the moment are made once and filled again.
function fluid(sizes) {
  const vao = gl.createVertexArray(), buffers = sizes.map(() => gl.createBuffer());
  gl.bindVertexArray(vao);
  sizes.forEach(([size, type, normalised], location) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[location]);
    gl.enableVertexAttribArray(location);
    gl.vertexAttribPointer(location, size, type, normalised, 0, 0);
  });
  return { vao, fill: parts => parts.forEach((data, k) => { gl.bindBuffer(gl.ARRAY_BUFFER, buffers[k]); gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW); }) };
}
const disc = [[3, gl.FLOAT, false], [2, gl.FLOAT, false]];
const shadows = fluid(disc), ring = fluid(disc), dots = fluid([[3, gl.FLOAT, false], [4, gl.UNSIGNED_BYTE, true]]);
const frustum = fluid([[3, gl.FLOAT, false]]), ellipses = fluid([[3, gl.FLOAT, false]]), backdrop = fluid(disc);

// ---- what is shown now: a picture of the sequence, or the state before the optimisation
let now = 0, people = [], camera = null, chosen = null; // `chosen` is an id
const chosenRow = () => people.findIndex(p => p.id === chosen);

function show(number) {
  const moment = moments[now = number], count = moment.id.length;
  const first = moments.slice(0, number).reduce((sum, one) => sum + one.id.length, 0);
  people = moment.id.map((id, i) => ({
    id, x: moment.x[i], y: moment.y[i], z: moment.z[i], top: moment.top[i], stature: moment.stature[i], score: moment.score[i], facing: moment.facing[i],
    colour: moment.colour.slice(3 * i, 3 * i + 3), sigma: moment.sigma[i], spread: moment.spread[i], more: moment.more[i] || [],
  }));
  camera = info.cameras[moment.camera];
  gl.bindTexture(gl.TEXTURE_2D, boneTexture);
  fillTexture(BONES_WIDTH, bonesOf(first, count), 4);
  shadows.fill(squares(people.map(p => [p.x, p.y, p.z]), 0.55, 0.004));
  dots.fill([new Float32Array(people.flatMap(p => [p.x, p.top, p.z])), new Uint8Array(people.flatMap(p => [...p.colour, 255]))]);
  const eye = [0, camera.height, 0];
  frustum.fill([new Float32Array(camera.corners.flatMap((c, i) => [eye, c, c, camera.corners[(i + 1) % 4]]).flat())]);
  showLayers();
  showTime();
  showPerson();
  redraw();
}

// Rows and colours of those in sight, the near ones first; whoever is not chosen turns pale.
function inSight(f, focal) {
  const near = [], far = [], packed = new ArrayBuffer(8 * people.length);
  const rows = new Uint32Array(packed), bytes = new Uint8Array(packed), t = Math.tan(view.fov / 2), aspect = canvas.width / canvas.height;
  people.forEach((p, i) => {
    const to = sub([p.x, (p.y + p.top) / 2, p.z], f.eye), depth = -dot(to, f.back), room = 1.3 * Math.hypot(1, t * aspect);
    if (depth < -1.3 || Math.abs(dot(to, f.right)) > depth * t * aspect + room || Math.abs(dot(to, f.up)) > depth * t + room) return;
    (1.7 * focal / Math.max(depth, 0.01) < FAR_PX ? far : near).push(i);
  });
  [...near, ...far].forEach((i, k) => {
    const pale = chosen !== null && people[i].id !== chosen;
    rows[2 * k] = i;
    bytes.set(people[i].colour.map(c => pale ? lerp(c, 199, 0.65) : c), 8 * k + 4);
  });
  return { near: near.length, far: far.length, data: new Uint8Array(packed, 0, 8 * (near.length + far.length)) };
}

let drawn = null; // of the last picture: near and far people, triangles
function drawBodies(vp, f, focal) {
  const { near, far, data } = inSight(f, focal);
  gl.useProgram(bodyProgram.p);
  gl.uniformMatrix4fv(bodyProgram.at("vp"), false, vp);
  gl.uniform1i(bodyProgram.at("bones"), 0);
  gl.uniform1i(bodyProgram.at("shapes"), 1);
  gl.activeTexture(gl.TEXTURE1); gl.bindTexture(gl.TEXTURE_2D, shapeTexture);
  gl.activeTexture(gl.TEXTURE0); gl.bindTexture(gl.TEXTURE_2D, boneTexture);
  gl.bindVertexArray(bodies);
  gl.bindBuffer(gl.ARRAY_BUFFER, rowsBuffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
  for (const [from, count, faces, begin] of [[0, near, F, 0], [near, far, farFaces, 12 * F]]) if (count) {
    gl.vertexAttribIPointer(6, 1, gl.UNSIGNED_INT, 8, 8 * from);
    gl.vertexAttribPointer(7, 4, gl.UNSIGNED_BYTE, true, 8, 8 * from + 4);
    gl.drawElementsInstanced(gl.TRIANGLES, 3 * faces, gl.UNSIGNED_INT, begin, count);
  }
  drawn = { near, far, triangles: near * F + far * farFaces };
}
