// Keeps the page as new as what the monitor counts, and says so in words where it is not.

const byId = (id) => document.getElementById(id);
const known = new Map();
const sentences = new Map();
const live = { page: null, good: null, arrived: 0, ageThen: 0, cutSince: null, everGood: false };

/** Seconds since what is shown was counted. */
const age = () => live.ageThen + (Date.now() - live.arrived) / 1000;

function receive(page) {
  live.page = page;
  live.arrived = Date.now();
  live.ageThen = Math.max(0, page.age_seconds);
  live.cutSince = null;
  if (!page.error) live.good = page;
  // What is wrong with the page itself must show, whatever there is in the figures.
  try {
    show();
    live.broken = null;
  } catch (error) {
    live.broken = error;
  }
  showCurrency();
}

function show() {
  const { page } = live;
  write(byId('where'), `${page.database}, schema ${page.schema}`);
  showTroubles(page);
  if (!page.error) showProjections(page);
  showOperations(page);
  if (!page.error) refreshCurves();
}

function showProjections(page) {
  const shown = page.projections.filter((one) => !one.rebuilds || !page.projections.some((other) => other.projection === one.rebuilds));
  const sections = shown.map((projection) => {
    const name = projection.projection;
    if (!known.has(name)) known.set(name, new ProjectionSection(name));
    known.get(name).update(projection, page, page.projections.filter((one) => one.rebuilds === name));
    return known.get(name).element;
  });
  for (const name of known.keys()) if (!shown.some((one) => one.projection === name)) known.delete(name);
  arrange(byId('projections'), sections);
  const oldest = shown.map((one) => one.oldest_append_open_seconds).filter((seconds) => seconds !== null);
  byId('log').hidden = shown.length === 0;
  write(byId('open-append'), oldest.length === 0
    ? 'No transaction is open that has appended.'
    : `The oldest transaction that has appended and is still open began at ${clock(page.counted_at - Math.max(...oldest))}, ${span(Math.max(...oldest))} ago. `
      + 'Events that are appended after it are applied; its own when it ends.');
}

function showTroubles(page) {
  const items = [];
  const now = new Set();
  for (const trouble of page.troubles) {
    now.add(trouble.sentence);
    const seen = sentences.get(trouble.sentence);
    // Ages are measured anew each time: a difference of a second is no news.
    const since = seen && trouble.since !== null && Math.abs(seen.since - trouble.since) < 3 ? seen.since : trouble.since;
    const item = seen ? seen.item : make('li', {}, make('b'), make('span'), make('span'));
    item.className = trouble.grave ? 'red' : 'amber';
    write(item.children[0], trouble.grave ? 'Wrong:' : 'Note:');
    write(item.children[1], foreign(trouble.sentence).textContent);
    write(item.children[2], since === null ? '' : `, since ${clock(since)}`);
    sentences.set(trouble.sentence, { item, since });
    items.push(item);
  }
  for (const sentence of sentences.keys()) if (!now.has(sentence)) sentences.delete(sentence);
  arrange(byId('troubles'), items);
}

function showOperations(page) {
  byId('operations').hidden = page.operations.length === 0;
  const drawn = JSON.stringify(page.operations);
  if (live.operations === drawn) return;
  live.operations = drawn;
  const heads = ['When', 'Who', 'What', 'Projection', 'Aggregate', 'Outcome'];
  const row = (one) => [clock(one.at), one.who, one.what, one.projection, `${one.aggregate_type} ${one.aggregate_id}`,
    one.outcome || 'not known: it is under way, or its process has ended in the middle of it'].map(foreign);
  byId('operations').querySelector('.wide').replaceChildren(cards(heads, page.operations.map(row)));
}

/** Why what is shown is not how things stand now; nothing where it is. */
function whyOld() {
  const { page, good, cutSince, broken } = live;
  if (broken) return `This page has a defect, and may show old figures: ${broken.message}. Load it again, or look at evenfold status.`;
  if (!page) return 'Nothing has been shown yet.';
  const shown = good ? `What is shown below was counted at ${clock(good.counted_at)}, and may be wrong by now.` : 'There are no figures to be shown.';
  if (cutSince !== null) return `Evenfold monitor can't be reached since ${clock(cutSince / 1000)}. ${shown}`;
  if (page.error) return shown;
  const late = Math.max(10, 3 * page.took_seconds + 6);
  if (age() > late) return `Nothing new was counted for more than ${span(late)}. ${shown}`;
  return null;
}

function showCurrency() {
  const [why, { page, good }] = [whyOld(), live];
  document.body.classList.toggle('old', why !== null);
  if (why === null || !byId('currency').firstChild) {
    byId('currency').replaceChildren(...(why === null ? [] : [make('p', { class: 'stale-note' }, why)]));
  } else {
    write(byId('currency').firstChild, why);
  }
  const note = why === null || !good ? '' : `Not current: as of ${clock(good.counted_at)}.`;
  for (const section of known.values()) write(section.stale, note);
  write(byId('log-stale'), note);
  if (!page) return;
  const counted = good ? `counted at ${clock(good.counted_at)} in ${span(good.took_seconds)}` : 'never counted';
  write(byId('when'), why === null ? counted : `NOT CURRENT: ${counted}`);
  const count = page.projections.length;
  const calm = page.troubles.length > 0 || why !== null ? ''
    : count === 0 ? 'No projection has begun in this database: there is nothing to look after until a worker starts.'
      : `Nothing found that needs somebody, in ${many(count, 'projection', 'projections')}, when it was counted last.`;
  write(byId('calm'), calm);
  byId('calm').hidden = calm === '';
}

function watch() {
  const events = new EventSource('v1/watch');
  events.onmessage = ({ data }) => receive(JSON.parse(data));
  events.onerror = () => {
    // One that was refused is not tried again by the browser: as many watch as may. Then it is asked for each count.
    if (events.readyState === EventSource.CLOSED) ask();
    else cut();
  };
}

function cut() {
  live.cutSince ??= Date.now();
  showCurrency();
}

async function ask() {
  try {
    const answer = await fetch('v1/projections', { cache: 'no-store' });
    if (!answer.ok) throw new Error(answer.statusText);
    receive(await answer.json());
  } catch {
    cut();
  }
  setTimeout(watch, 3000);
}

receive(JSON.parse(byId('first').textContent));
setInterval(showCurrency, 1000);
watch();
