// One projection: its figures, its cover, its classes, what is parked, its totals, and a rebuild of it.

const GRACE_SECONDS = 600;
let sections = 0;

/** Sums up a figure of classes; not known where one is not. */
function sum(classes, figure) {
  return classes.reduce((all, row) => all === null || figure(row) === null || figure(row) === undefined ? null : all + figure(row), 0);
}

class ProjectionSection {
  owners = new Owners();

  constructor(name) {
    const id = `p${sections += 1}`;
    this.name = name;
    this.id = id;
    this.stale = make('p', { class: 'stale-note' });
    this.totals = make('dl', { class: 'totals' });
    this.cover = make('div', { class: 'cover' });
    this.classes = new ClassTable(name, 'Classes');
    this.parked = new ParkedTable(name);
    this.topology = make('div', { class: 'topology' });
    this.rebuild = make('div', { class: 'rebuild' });
    const figures = make('div', { class: 'figures' }, this.totals, make('h3', {}, 'Who has which share of the hashes'),
      this.cover, this.classes.element, this.topology, this.rebuild);
    this.element = make('section', { class: 'projection', 'aria-labelledby': id, 'data-name': name },
      make('h2', { id }, 'Projection ', foreign(name)), this.stale, figures, this.parked.element);
  }

  update(projection, page, rebuilds) {
    this.paintTotals(projection);
    const drawn = JSON.stringify(projection.classes.map((row) => [row.class, ownerOf(row)]));
    if (this.drawn !== drawn) {
      this.drawn = drawn;
      paintCover(this.cover, projection, this.owners, `hatch-${this.id}`);
    }
    this.classes.update(projection);
    this.parked.update(projection, page);
    this.paintTopology(projection, page);
    this.paintRebuild(rebuilds[0]);
  }

  paintTotals(projection) {
    const { classes } = projection;
    const counted = !projection.uncounted;
    const idle = classes.filter((row) => row.idle).length;
    const estimated = classes.some((row) => row.estimated) ? 'about ' : '';
    const oldest = classes.reduce((most, row) => Math.max(most, row.behind > 0 ? row.behind_seconds : 0), 0);
    const parked = sum(classes, (row) => row.parked);
    const entries = [
      ['Events behind', counted ? estimated + whole(sum(classes, (row) => row.behind)) : 'not known', !counted],
      ['Oldest of them', counted ? (oldest > 0 ? estimated + span(oldest) : 'none') : 'not known', !counted],
      ['Classes with somebody at work', `${whole(classes.length - idle)} of ${whole(classes.length)}`, idle > 0 || classes.length === 0],
      ['Partitions', projection.total_partitions === null ? 'no worker has begun' : whole(projection.total_partitions), projection.total_partitions === null],
      ['Cover of the hashes', projection.cover_complete ? 'complete' : 'NOT complete', !projection.cover_complete],
      ['Events per second', whole(sum(classes, (row) => row.idle ? 0 : row.per_second))],
      ['Parked aggregates', whole(parked), parked > 0],
      ['Parked or dropped events', whole(projection.parked_events)],
      ['Events of the log', projection.events === null ? 'not counted' : whole(projection.events)],
    ];
    // A log of evenfold's own has none: its transactions are known.
    if (projection.log || projection.missing_positions !== null) entries.push(['Missing positions', whole(projection.missing_positions)]);
    if (projection.log) entries.push(['Log that others write', foreign(projection.log).textContent]);
    arrange(this.totals, entries.map(([name, value, wrong], at) => {
      const entry = this.totals.children[at] || make('div', {}, make('dt'), make('dd'));
      write(entry.firstChild, name);
      write(entry.lastChild, value);
      entry.className = wrong ? 'red' : '';
      return entry;
    }));
  }

  /** The numbers of partitions that there were, and how long each keeps its workers from taking over again. */
  paintTopology(projection, page) {
    const rows = projection.superseded.map(([total, ago]) => {
      const left = GRACE_SECONDS - ago;
      return [whole(total), `replaced at ${clock(page.counted_at - ago)}`,
        left > 0 ? `with the default grace, workers with it wait for ${span(left)} more while others are at work` : 'its default grace is over'];
    });
    if (projection.total_partitions !== null) rows.unshift([whole(projection.total_partitions), 'in use', '']);
    const waiting = projection.waiting.map(([total, count]) => `${many(count, 'worker waits', 'workers wait')} with ${whole(total)} partitions`);
    if (rows.length < 2 && waiting.length === 0) return this.topology.replaceChildren();
    this.topology.replaceChildren(make('h3', {}, 'Numbers of partitions, and those that there were'),
      cards(['Partitions', 'Since or until', 'Grace'], rows), ...waiting.map((sentence) => make('p', {}, sentence)));
  }

  /** How far a rebuild has come. */
  paintRebuild(rebuild) {
    if (!rebuild) return this.rebuild.replaceChildren();
    const behind = rebuild.uncounted ? null : sum(rebuild.classes, (row) => row.behind);
    const applied = sum(rebuild.classes, (row) => row.applied);
    // What its workers have applied since they started, where the log's events are not counted.
    const all = behind === null ? null : rebuild.events ?? (applied === null ? null : applied + behind);
    const [known, done] = [all !== null, Math.max(0, all - behind)];
    const idle = rebuild.classes.filter((row) => row.idle).length;
    const about = rebuild.classes.some((row) => row.estimated) ? 'about ' : '';
    const sentence = behind === null ? 'How far it has come is not known'
      : `${known ? `${about}${whole(done)} of ${about}${many(all, 'event', 'events')} folded anew, ` : ''}${about}${whole(behind)} to go`;
    const parts = [make('h3', {}, 'A rebuild is under way')];
    if (known && all > 0) parts.push(make('progress', { max: all, value: done, 'aria-label': `Rebuild: ${sentence}` }));
    parts.push(make('p', {}, sentence + (idle ? `; nobody is at work on ${idle} of its ${many(rebuild.classes.length, 'class', 'classes')}` : '')));
    this.rebuild.replaceChildren(...parts);
  }
}
