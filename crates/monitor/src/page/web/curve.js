// The last ten minutes of a class as a line. Only rows that can be seen have one.

const CURVE = { width: 130, height: 26 };

/** What the server keeps, by projection and class. */
const curves = new Map();
const inSight = new Set();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inSight.add(target);
    else inSight.delete(target);
  }
});
let askedAt = 0;

/** Asks for the lines of the rows in sight, at most every five seconds unless one has none yet. */
async function refreshCurves() {
  const wanted = new Map();
  let fresh = false;
  for (const row of inSight) {
    if (!row.isConnected) {
      inSight.delete(row);
      continue;
    }
    const { projection, class: name } = row.dataset;
    if (!wanted.has(projection)) wanted.set(projection, []);
    if (wanted.get(projection).length < 100) wanted.get(projection).push(name);
    fresh ||= !curves.has(`${projection} ${name}`);
  }
  if (Date.now() - askedAt < (fresh ? 1000 : 5000)) return;
  askedAt = Date.now();
  for (const [projection, classes] of wanted) {
    const query = new URLSearchParams({ projection, classes: classes.join(',') });
    try {
      const answer = await fetch(`v1/history?${query}`, { cache: 'no-store' });
      if (!answer.ok) continue;
      const history = await answer.json();
      for (const [name, line] of Object.entries(history.classes)) {
        curves.set(`${projection} ${name}`, { step: history.step_seconds, line });
      }
    } catch {
      // That the monitor can't be reached is in the sentence at the top.
    }
  }
  for (const row of inSight) paintCurve(row);
}

/** Draws the line of a row: where nothing was counted it is broken. */
function paintCurve(row) {
  const place = row.querySelector('.curve-place');
  const known = curves.get(`${row.dataset.projection} ${row.dataset.class}`);
  const points = known ? known.line.filter((point) => point !== null) : [];
  if (points.length === 0) {
    write(place, 'no line yet');
    return;
  }
  const most = Math.max(...points);
  const label = most === 0
    ? 'never behind when it was counted in the last ten minutes'
    : `events behind in the last ten minutes: at most ${whole(most)}, at last ${whole(points.at(-1))}`;
  const steps = known.line.length - 1 || 1;
  let [path, pen] = ['', false];
  known.line.forEach((point, at) => {
    if (point === null) {
      pen = false;
      return;
    }
    const x = (at / steps * CURVE.width).toFixed(1);
    const y = (CURVE.height - 2 - (most ? point / most * (CURVE.height - 4) : 0)).toFixed(1);
    // A point by itself is a short dash.
    path += pen ? `L${x} ${y}` : `M${x} ${y}h.1`;
    pen = true;
  });
  if (place.dataset.path === path) return;
  place.dataset.path = path;
  const svg = draw('svg', { class: 'curve', viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, role: 'img', 'aria-label': label },
    draw('title', {}, label),
    draw('path', { d: path, fill: 'none', stroke: 'var(--curve)', 'stroke-width': 2, 'stroke-linecap': 'round' }));
  place.replaceChildren(svg);
}
