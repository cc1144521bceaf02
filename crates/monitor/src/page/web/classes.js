// The table of the classes of one projection, the worst first.

const SHOWN = 12;
const COLUMNS = ['Class', 'Position', 'Events behind', 'Seconds behind', 'Last ten minutes', 'Parked', 'Owner',
  'Heartbeat', 'Coordination', 'State'];
const RIGHT = new Set(['Position', 'Events behind', 'Seconds behind', 'Parked', 'Heartbeat']);

/** The worst first: nobody at work, a late heartbeat, parked, then what is behind for the longest. */
function byTrouble(one, other) {
  return Boolean(other.idle) - Boolean(one.idle) || Boolean(other.late) - Boolean(one.late)
    || (other.parked > 0) - (one.parked > 0) || other.behind_seconds - one.behind_seconds
    || other.behind - one.behind || byClass(one, other);
}

class ClassTable {
  rows = new Map();
  all = false;

  constructor(name, heading) {
    this.name = name;
    this.caption = make('caption');
    this.body = make('tbody', { role: 'rowgroup' });
    const heads = COLUMNS.map((column) =>
      make('th', { scope: 'col', role: 'columnheader', ...(RIGHT.has(column) ? { class: 'right' } : {}) }, column));
    this.table = make('table', { class: 'cards classes', role: 'table' }, this.caption,
      make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, ...heads)), this.body);
    this.more = make('button', { type: 'button', class: 'more' });
    this.more.addEventListener('click', () => {
      this.all = !this.all;
      this.update(this.projection);
      refreshCurves();
    });
    this.element = make('div', {}, make('h3', {}, heading), this.table, this.more);
  }

  update(projection) {
    this.projection = projection;
    const sorted = [...projection.classes].sort(byTrouble);
    const shown = this.all ? sorted : sorted.slice(0, SHOWN);
    const count = many(sorted.length, 'class', 'classes');
    write(this.caption, shown.length < sorted.length ? `The worst ${shown.length} of ${count}` : `${count}, the worst first`);
    const kept = new Set(shown.map((row) => row.class));
    for (const [name, row] of this.rows) {
      if (!kept.has(name)) {
        sight.unobserve(row);
        inSight.delete(row);
        this.rows.delete(name);
      }
    }
    arrange(this.body, shown.map((row) => this.row(row, projection)));
    this.more.hidden = sorted.length <= SHOWN;
    write(this.more, this.all ? `Show the worst ${SHOWN}` : `Show all ${count}`);
  }

  row(row, projection) {
    let element = this.rows.get(row.class);
    if (!element) {
      element = this.newRow(row.class);
      this.rows.set(row.class, element);
    }
    const kind = row.idle ? 'red' : row.late || row.parked > 0 ? 'amber' : '';
    if (element.className !== kind) element.className = kind;
    const about = (row.estimated ? 'about ' : '');
    const behind = projection.uncounted ? 'not known' : about + whole(row.behind);
    const age = projection.uncounted ? 'not known' : row.behind === 0 ? '0 s' : about + span(row.behind_seconds);
    const state = row.idle ? `nobody at work: ${row.idle}` : row.late || row.state || 'no state';
    const texts = [row.class, whole(row.position), behind, age, null, whole(row.parked), row.owner || 'nobody',
      row.heartbeat_seconds === null ? 'none' : span(row.heartbeat_seconds), null, state];
    texts.forEach((text, at) => {
      if (text === null) return;
      const place = element.children[at].firstChild;
      const shown = at === 6 || at === 9 ? foreign(text).textContent : text;
      write(place, shown);
    });
    paintShare(element.children[8].firstChild, row);
    return element;
  }

  newRow(name) {
    const cells = COLUMNS.map((column, at) => {
      const attributes = at === 0 ? { scope: 'row', role: 'rowheader' } : { role: 'cell' };
      attributes['data-label'] = column;
      if (RIGHT.has(column)) attributes.class = 'right number';
      if (column === 'State' || column === 'Owner') attributes.class = column.toLowerCase();
      const inner = make(at === 6 || at === 9 ? 'bdi' : 'span', at === 4 ? { class: 'curve-place' } : {});
      return make(at === 0 ? 'th' : 'td', attributes, inner);
    });
    const row = make('tr', { role: 'row', 'data-projection': this.name, 'data-class': name }, ...cells);
    sight.observe(row);
    paintCurve(row);
    return row;
  }
}

/** How much of a worker's time went into coordination, and how much into computing, since it started. */
function paintShare(place, row) {
  const [coordination, compute] = [row.coordination_seconds, row.compute_seconds];
  if (coordination === null || coordination === undefined || compute === null || compute === undefined) {
    return write(place, 'not known');
  }
  const all = coordination + compute;
  if (all === 0) return write(place, 'nothing done yet');
  const part = coordination / all;
  const text = `${(part * 100).toFixed(0)} % of ${span(all)}`;
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  const bar = draw('svg', { viewBox: '0 0 60 10', 'aria-hidden': 'true' },
    draw('rect', { width: 60, height: 10, fill: 'var(--bar-rest)' }),
    draw('rect', { width: 60 * part, height: 10, fill: 'var(--bar)' }));
  const title = `${span(coordination)} of coordination, ${span(compute)} of computing, since the worker started`;
  place.replaceChildren(make('span', { class: 'share', title }, bar, text));
}
