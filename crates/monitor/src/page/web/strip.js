// The cover of the hashes as one strip: a segment for each class, as wide as its share, coloured by its owner.

const LIGHT = ['#0b57d0', '#b3541e', '#6b3fa0', '#00695c', '#ad1457', '#5d6b00', '#455a64', '#8d5a00', '#1b7f3b', '#5c6bc0'];
const NOBODY = '#c62828';
const WIDTH = 10000;

/** The numbers of the owners of one projection, in the order in which they were seen: a colour stays whose it is. */
class Owners {
  numbers = new Map();

  number(owner) {
    if (!this.numbers.has(owner)) this.numbers.set(owner, this.numbers.size);
    return this.numbers.get(owner);
  }

  colour(owner) {
    return LIGHT[this.number(owner) % LIGHT.length];
  }
}

const partsOf = (name) => name.split('/').map(Number);

/** Classes in the order of the strip and of the table: by residue, then by modulus. */
function byClass(one, other) {
  const [[residue, modulus], [otherResidue, otherModulus]] = [partsOf(one.class), partsOf(other.class)];
  return residue - otherResidue || modulus - otherModulus;
}

const ownerOf = (row) => row.idle ? null : row.owner || 'a worker without a heartbeat';

/** Segments next to each other of the same owner are one. */
function segmentsOf(classes) {
  const segments = [];
  let at = 0;
  for (const row of [...classes].sort(byClass)) {
    const [owner, share] = [ownerOf(row), 1 / partsOf(row.class)[1]];
    const last = segments.at(-1);
    if (last && last.owner === owner) {
      last.share += share;
      last.classes += 1;
      last.last = row.class;
    } else {
      segments.push({ owner, share, at, classes: 1, first: row.class, last: row.class });
    }
    at += share;
  }
  return { segments, share: at };
}

function hatch(id, colour) {
  return draw('pattern', { id, width: 120, height: 34, patternUnits: 'userSpaceOnUse', patternTransform: 'skewX(-45)' },
    draw('rect', { width: 120, height: 34, fill: colour }), draw('rect', { width: 30, height: 34, fill: '#ffffff' }));
}

/** Draws the strip and its legend. */
function paintCover(place, projection, owners, id) {
  const { segments, share } = segmentsOf(projection.classes);
  const scale = WIDTH / Math.max(1, share);
  const svg = draw('svg', { class: 'strip', viewBox: `0 0 ${WIDTH} 34`, preserveAspectRatio: 'none', role: 'img' },
    draw('defs', {}, hatch(id, NOBODY)));
  const [there, troubled] = [draw('g'), draw('g')];
  for (const segment of segments) {
    const range = segment.classes === 1 ? segment.first : `${segment.first} to ${segment.last}`;
    const title = draw('title', {}, `${range}: ${segment.owner === null ? 'nobody' : segment.owner}`);
    // However small its share is, a class that nobody works on can be seen.
    const width = Math.max(segment.share * scale, segment.owner === null ? WIDTH / 250 : 0);
    const x = Math.min(segment.at * scale, WIDTH - width);
    const fill = segment.owner === null ? `url(#${id})` : owners.colour(segment.owner);
    (segment.owner === null ? troubled : there).append(draw('rect', { x, y: 0, width, height: 34, fill }, title));
  }
  const hole = 1 - share > 1e-9 ? 1 - share : 0;
  if (hole) {
    troubled.append(draw('rect', { x: share * scale, y: 0, width: hole * scale, height: 34, fill: `url(#${id})` },
      draw('title', {}, 'hashes that no class has')));
  }
  svg.append(there, troubled);
  const entries = legendOf(projection.classes, hole);
  svg.setAttribute('aria-label', `Who has which share of the hashes: ${entries.map((entry) => entry.text).join('; ')}`);
  const legend = make('ul', { class: 'legend' });
  for (const entry of entries) {
    const fill = entry.owner === undefined ? `url(#${id})` : owners.colour(entry.owner);
    const swatch = draw('svg', { viewBox: '0 0 22 14', 'aria-hidden': 'true' }, draw('rect', { width: 22, height: 14, fill }));
    if (entry.owner === undefined) swatch.firstChild.setAttribute('fill', NOBODY);
    const item = make('li', entry.owner === undefined ? { class: 'red' } : {}, swatch, make('span', {}, foreign(entry.text)));
    legend.append(item);
  }
  place.replaceChildren(svg, legend);
}

/** Who has how much, nobody first. */
function legendOf(classes, hole) {
  const shares = new Map();
  for (const row of classes) {
    const owner = ownerOf(row);
    const entry = shares.get(owner) || { share: 0, classes: 0 };
    entry.share += 1 / partsOf(row.class)[1];
    entry.classes += 1;
    shares.set(owner, entry);
  }
  const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
  const counted = (entry) => `${many(entry.classes, 'class', 'classes')}, ${percent(entry.share)}`;
  const entries = [];
  if (shares.has(null)) entries.push({ text: `nobody at work: ${counted(shares.get(null))}` });
  if (hole) entries.push({ text: `no class: ${percent(hole)} of the hashes` });
  const owners = [...shares].filter(([owner]) => owner !== null).sort(([one], [other]) => one < other ? -1 : 1);
  const [listed, rest] = [owners.slice(0, 12), owners.slice(12)];
  for (const [owner, entry] of listed) entries.push({ owner, text: `${owner}: ${counted(entry)}` });
  if (rest.length) {
    const all = rest.reduce((sum, [, entry]) => ({ share: sum.share + entry.share, classes: sum.classes + entry.classes }),
      { share: 0, classes: 0 });
    entries.push({ owner: rest[0][0], text: `and ${rest.length} more processes: ${counted(all)}` });
  }
  return entries;
}
