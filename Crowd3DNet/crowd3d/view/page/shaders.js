// ---- programs and buffers
function program(vertex, fragment) {
  const p = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, "#version 300 es\nprecision highp float;\nprecision highp int;\nprecision highp sampler2D;\n" + source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(p, shader);
  }
  gl.linkProgram(p);
  return { p, at: name => gl.getUniformLocation(p, name) };
}

// Attributes are [data, size, type, normalised]; without `normalised` integers stay integers.
function mesh(attributes, index) {
  const vao = gl.createVertexArray();
  gl.bindVertexArray(vao);
  attributes.forEach(([data, size, type, normalised], location) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(location);
    if (type === gl.FLOAT || normalised) gl.vertexAttribPointer(location, size, type, normalised, 0, 0);
    else gl.vertexAttribIPointer(location, size, type, 0, 0);
  });
  if (index) {
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, index, gl.STATIC_DRAW);
  }
  return vao;
}

// One body for everybody: shaped by their betas, then skinned by their bones (Loper et al., SMPL, 2015), both read from textures.
const bodyProgram = program(`
layout(location=0) in vec3 rest; layout(location=1) in vec3 normal; layout(location=2) in uvec4 jointA; layout(location=3) in uvec4 jointB;
layout(location=4) in vec4 weightA; layout(location=5) in vec4 weightB; layout(location=6) in uint row; layout(location=7) in vec4 colour;
uniform mat4 vp; uniform sampler2D bones; uniform sampler2D shapes; out vec3 n; out vec3 c; out float low;
vec4 texel(int k) { int i = int(row) * ${TEXELS} + k; return texelFetch(bones, ivec2(i % ${BONES_WIDTH}, i / ${BONES_WIDTH}), 0); }
vec3 shape(int k) { int i = gl_VertexID * 10 + k; return texelFetch(shapes, ivec2(i % ${SHAPES_WIDTH}, i / ${SHAPES_WIDTH}), 0).xyz; }
void main() {
  vec3 p = rest;
  for (int k = 0; k < 10; k++) p += texel(72 + k / 4)[k % 4] * shape(k);
  vec4 x = vec4(0.), y = vec4(0.), z = vec4(0.);
  for (int k = 0; k < 8; k++) {
    float w = k < 4 ? weightA[k] : weightB[k - 4];
    int j = 3 * int(k < 4 ? jointA[k] : jointB[k - 4]);
    if (w > 0.) { x += w * texel(j); y += w * texel(j + 1); z += w * texel(j + 2); }
  }
  vec3 world = vec3(dot(x, vec4(p, 1.)), dot(y, vec4(p, 1.)), dot(z, vec4(p, 1.)));
  n = vec3(dot(x.xyz, normal), dot(y.xyz, normal), dot(z.xyz, normal)); c = colour.rgb; low = world.y;
  gl_Position = vp * vec4(world, 1.);
}`, `
in vec3 n; in vec3 c; in float low; out vec4 o;
void main() {
  vec3 m = normalize(n);
  float sun = max(dot(m, normalize(vec3(-.5, .9, .55))), 0.), sky = .5 + .5 * m.y;
  o = vec4(c * (.30 + .28 * sky + .55 * sun) * mix(.68, 1., smoothstep(0., .5, low)), 1.);
}`);
const groundProgram = program(`
layout(location=0) in vec2 corner; uniform mat4 vp; uniform vec3 centre; uniform float reach; out vec2 p;
void main() { p = centre.xz + corner * reach; gl_Position = vp * vec4(p.x, 0., p.y, 1.); }`, `
in vec2 p; uniform vec3 centre; uniform float reach; uniform mat4 photoMatrix; uniform sampler2D photo; uniform float photoOn; out vec4 o;
float lines(float step, float width) {
  vec2 q = p / step, w = fwidth(q), d = abs(fract(q - .5) - .5) / max(w, vec2(1e-6));
  vec2 on = (1. - clamp(d - width, 0., 1.)) * (1. - smoothstep(.03, .14, w));
  return max(on.x, on.y);
}
void main() {
  float fade = 1. - smoothstep(.35, 1., length(p - centre.xz) / reach);
  vec3 c = mix(vec3(.915, .925, .92), vec3(.79, .815, .83), lines(1., .2));
  c = mix(c, vec3(.62, .67, .71), lines(10., .35));
  c = mix(c, vec3(.45, .51, .56), lines(100., .7));
  o = vec4(c, fade);
  vec4 at = photoMatrix * vec4(p.x, 0., p.y, 1.);
  vec2 uv = at.xy / at.w;
  if (photoOn > .5 && at.w > 0. && uv.x > 0. && uv.x < 1. && uv.y > 0. && uv.y < 1.)
    o = vec4(mix(texture(photo, uv).rgb, vec3(1.), .35 * max(lines(1., .2), lines(10., .35))), 1.);
}`);
const shadowProgram = program(`
layout(location=0) in vec3 position; layout(location=1) in vec2 uv; uniform mat4 vp; out vec2 q;
void main() { q = uv; gl_Position = vp * vec4(position, 1.); }`, `
in vec2 q; uniform float ring; out vec4 o;
void main() {
  float r = length(q);
  float soft = .5 * pow(max(1. - r, 0.), 1.5), edge = smoothstep(.86, .88, r) - smoothstep(.96, .98, r);
  o = ring > .5 ? vec4(.84, .37, 0., edge) : vec4(.1, .12, .15, soft);
}`);
// From afar, where bodies are only a few pixels tall, dots keep everybody in sight.
const dotProgram = program(`
layout(location=0) in vec3 position; layout(location=1) in vec3 colour; uniform mat4 vp; uniform float focal; uniform float size; out vec3 c; out float a;
void main() {
  gl_Position = vp * vec4(position, 1.); float tall = 1.7 * focal / gl_Position.w;
  c = colour; a = 1. - smoothstep(11., 19., tall); gl_PointSize = size;
}`, `
in vec3 c; in float a; out vec4 o;
void main() {
  float r = 2. * length(gl_PointCoord - .5);
  if (r > 1. || a < .01) discard;
  o = vec4(r > .74 ? vec3(.15, .17, .2) : c, a);
}`);
// Ways of people, as wide as can be seen from where one is; what lies ahead in time is faint.
const pathProgram = program(`
layout(location=0) in vec2 position; layout(location=1) in vec2 side; layout(location=2) in float time; layout(location=3) in vec3 colour;
uniform mat4 vp; uniform float wide; uniform float now; out vec4 c;
void main() {
  vec2 p = position + wide * side;
  c = vec4(colour * .85, time <= now ? .95 : .25);
  gl_Position = vp * vec4(p.x, .008, p.y, 1.);
}`, `in vec4 c; out vec4 o; void main() { o = c; }`);
const pictureProgram = program(`
layout(location=0) in vec3 position; layout(location=1) in vec2 uv; uniform mat4 vp; out vec2 q;
void main() { q = uv; gl_Position = vp * vec4(position, 1.); }`, `
in vec2 q; uniform sampler2D picture; out vec4 o;
void main() { vec4 c = texture(picture, q); o = vec4(c.rgb / max(c.a, .01), c.a); } // between texels colours are weighed by their opacity`);
const lineProgram = program(`layout(location=0) in vec3 position; uniform mat4 vp; void main() { gl_Position = vp * vec4(position, 1.); }`,
  `uniform vec3 ink; out vec4 o; void main() { o = vec4(ink, 1.); }`);
