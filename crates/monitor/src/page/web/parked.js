// Parked aggregates: why each is parked, its payload when somebody asks for it, and what an operator can do about it.

const operator = { who: '', token: '' };

class ParkedTable {
  rows = new Map();
  asked = '';
  askedAt = 0;

  constructor(name) {
    this.name = name;
    this.body = make('tbody', { role: 'rowgroup' });
    this.note = make('p', { role: 'status' });
    this.can = make('p');
    const heads = ['Aggregate', 'Events', 'Version', 'Position', 'Reason', 'What to do'];
    const table = make('table', { class: 'cards parked', role: 'table' }, make('caption', {}, 'The first 100, in the order in which they were parked'),
      make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, ...heads.map((head) => make('th', { scope: 'col', role: 'columnheader' }, head)))), this.body);
    this.element = make('div', { hidden: '' }, make('h3', {}, 'Parked aggregates'), this.can, this.note, table);
  }

  /** Asks for the list where it may have changed. */
  async update(projection, page) {
    const parked = projection.classes.reduce((sum, row) => sum + row.parked, 0);
    this.element.hidden = parked === 0 && this.rows.size === 0 && this.note.textContent === '';
    this.operated = page.operator.token && page.operator.projections.includes(this.name);
    write(this.can, canSentence(this.name, page.operator));
    const state = `${parked} ${projection.parked_events} ${page.operations.length ? page.operations[0].operation : 0}`;
    if (parked === 0 && this.rows.size === 0) return;
    if (state === this.asked && Date.now() - this.askedAt < 10000) return;
    [this.asked, this.askedAt] = [state, Date.now()];
    try {
      const answer = await fetch(`v1/parked?${new URLSearchParams({ projection: this.name })}`, { cache: 'no-store' });
      const list = await answer.json();
      if (!answer.ok) throw new Error(list.error.message);
      this.show(list.parked);
    } catch (error) {
      this.askedAt = 0;
      this.asked = '';
      write(this.note, `The list of parked aggregates could not be read: ${error.message}. What is below may be old.`);
      this.element.hidden = false;
      return;
    }
    if (this.note.textContent.startsWith('The list')) write(this.note, '');
  }

  show(parked) {
    const kept = new Map();
    for (const one of parked) {
      const key = JSON.stringify([one.aggregate_type, one.aggregate_id]);
      const known = this.rows.get(key);
      kept.set(key, known && known.position === one.position && known.operated === this.operated ? known : this.newRow(one));
      const { cells } = kept.get(key);
      write(cells[1], whole(one.events));
      write(cells[4], foreign(one.reason).textContent);
    }
    this.rows = kept;
    arrange(this.body, [...kept.values()].map((row) => row.element));
  }

  newRow(one) {
    const buttons = make('div', { class: 'buttons' });
    const payload = make('div');
    const named = `${one.aggregate_type} ${one.aggregate_id}`;
    const add = (label, action) => {
      const button = make('button', { type: 'button', 'aria-label': `${label}: ${foreign(named).textContent}` }, label);
      button.addEventListener('click', () => action(button));
      buttons.append(button);
    };
    add('Show payload', (button) => showPayload(this, one, payload, button));
    if (this.operated) {
      add('Retry', () => openDialog('retry', this, one));
      add('Drop', () => openDialog('drop', this, one));
    }
    const contents = [foreign(named), whole(one.events), whole(one.version), whole(one.position), foreign(one.reason)];
    const labels = ['Aggregate', 'Events', 'Version', 'Position', 'Reason', 'What to do'];
    const cells = contents.map((content) => make('span', {}, content));
    const element = make('tr', { role: 'row' },
      ...cells.map((cell, at) => make(at ? 'td' : 'th', at ? { role: 'cell', 'data-label': labels[at] } : { scope: 'row', role: 'rowheader', 'data-label': labels[at] }, cell)),
      make('td', { role: 'cell', 'data-label': labels[5] }, make('div', {}, buttons, payload)));
    return { element, cells, position: one.position, operated: this.operated };
  }
}

function canSentence(name, able) {
  if (!able.token) return 'Payloads are shown when asked for. This page changes nothing: to retry and drop here, start `evenfold monitor` with API_TOKEN.';
  if (!able.projections.includes(name)) return 'Payloads are shown when asked for. The program that serves this page does not have this projection: retry and drop with the program that has it (`parked retry`, `parked drop`).';
  return 'Payloads are shown when asked for. Retry and drop need the token, and are written down with your name.';
}

async function showPayload(table, one, place, button) {
  const query = new URLSearchParams({ projection: table.name, position: one.position });
  const headers = operator.token ? { authorization: `Bearer ${operator.token}` } : {};
  try {
    const answer = await fetch(`v1/parked/payload?${query}`, { headers, cache: 'no-store' });
    if (answer.status === 401) return openDialog('payload', table, one, () => showPayload(table, one, place, button));
    const event = await answer.json();
    if (!answer.ok) throw new Error(event.error.message);
    const lines = event.payload.split('\n').flatMap((line) => [foreign(line), '\n']).slice(0, -1);
    place.replaceChildren(make('p', {}, 'Event type: ', foreign(event.event_type)),
      make('pre', { tabindex: '0', role: 'group', 'aria-label': 'Payload' }, ...lines),
      ...(event.shortened ? [make('p', {}, 'These are its first characters: it goes on.')] : []));
    button.hidden = true;
    // The focus was on the button that is gone.
    place.querySelector('pre').focus();
  } catch (error) {
    place.replaceChildren(make('p', { role: 'alert' }, `The payload could not be read: ${error.message}.`));
  }
}

const ACTIONS = {
  retry: { heading: 'Retry', button: 'Apply its events', what: 'Its parked events are applied, in the order of their versions, as far as they can be.' },
  drop: { heading: 'Drop the first parked event', button: 'Drop the event', what: 'The read model will be without this event for good. The events behind it are applied as far as they can be.' },
  payload: { heading: 'Show the payload', button: 'Show it', what: 'Payloads need the token.' },
};

let pending = null;

function openDialog(action, table, one, then) {
  const { heading, button, what } = ACTIONS[action];
  pending = { action, table, one, then };
  const by = (id) => document.getElementById(id);
  by('act-heading').replaceChildren(`${heading}: `, foreign(`${one.aggregate_type} ${one.aggregate_id}`));
  write(by('act-what'), `${table.name}, position ${whole(one.position)}: ${what}`);
  write(by('act-do'), button);
  write(by('act-wrong'), '');
  by('act-who').value = operator.who;
  by('act-token').value = operator.token;
  const named = action !== 'payload';
  by('act-who').hidden = !named;
  by('act-who').required = named;
  document.querySelector('label[for=act-who]').hidden = !named;
  by('act').showModal();
}

async function act(event) {
  event.preventDefault();
  const by = (id) => document.getElementById(id);
  const { action, table, one, then } = pending;
  [operator.who, operator.token] = [by('act-who').value.trim(), by('act-token').value.trim()];
  if (action === 'payload') {
    by('act').close();
    return then();
  }
  by('act-do').disabled = true;
  try {
    const body = { projection: table.name, aggregate_type: one.aggregate_type, aggregate_id: one.aggregate_id, position: one.position, who: operator.who };
    const headers = { authorization: `Bearer ${operator.token}`, 'content-type': 'application/json' };
    const answer = await fetch(`v1/parked/${action}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const done = await answer.json();
    if (!answer.ok) throw new Error(done.error.message);
    by('act').close();
    write(table.note, `${ACTIONS[action].heading}: ${foreign(done.outcome).textContent}`);
    table.asked = '';
  } catch (error) {
    write(by('act-wrong'), `Not done, or not known to be done: ${error.message}.`);
  } finally {
    by('act-do').disabled = false;
  }
}

document.querySelector('#act form').addEventListener('submit', act);
document.getElementById('act-cancel').addEventListener('click', () => document.getElementById('act').close());
