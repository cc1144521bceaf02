'use strict';
// Elements and texts. Whatever comes from the database becomes text, never markup.

const SVG = 'http://www.w3.org/2000/svg';
const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** An element with attributes and children, of which texts stay texts. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Changes a text only where it differs, so that nothing is read out or laid out again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A text of others: whichever way it is written, what is around it stays in its order. */
function foreign(text) {
  return make('bdi', {}, String(text).replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`));
}

function whole(number) {
  return number === null || number === undefined ? 'not known' : WHOLE.format(number);
}

function many(number, one, more) {
  return `${whole(number)} ${number === 1 ? one : more}`;
}

/** A span of time in its two largest units. */
function span(seconds) {
  if (seconds === null || seconds === undefined) return 'not known';
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor(whole % 86400 / 3600)} h`;
}

/** A time of the day here, with the day where it is another one. */
function clock(unix) {
  const at = new Date(unix * 1000);
  const two = (number) => String(number).padStart(2, '0');
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return at.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

/** A table whose rows are cards where there is little room. The first cell of a row is its heading. */
function cards(heads, rows, kind = '') {
  const cell = (content, at) => make(at ? 'td' : 'th', at ? { role: 'cell', 'data-label': heads[at] }
    : { scope: 'row', role: 'rowheader', 'data-label': heads[at] }, make('span', {}, content));
  return make('table', { class: `cards ${kind}`, role: 'table' },
    make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' },
      ...heads.map((head) => make('th', { scope: 'col', role: 'columnheader' }, head)))),
    make('tbody', { role: 'rowgroup' }, ...rows.map((row) => make('tr', { role: 'row' }, ...row.map(cell)))));
}

/** Brings the children of an element into this order, leaving those alone that are in place: focus stays where it is. */
function arrange(parent, children) {
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
