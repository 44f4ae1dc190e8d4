// Plots: lines over time, where generations changed, what the pointer is at, and the same numbers as a table. What must not live here:
// what is plotted.
import { h } from './dom.js';
import { moment, t } from './messages.js';
import { table } from './parts.js';
import { changed } from './store.js';

const WIDTH = 720;
const HEIGHT = 150;
let pointed = null;
/** Names of plots whose tables are open: the others' are not drawn. */
const opened = new Set();

/** The top of a scale that goes from 0 to at least this: 1, 2 or 5 times a power of ten. Pure. */
export function top(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most * (1 - 1e-9));
}

/** A line through these numbers, from left to right; nothing is drawn where there is none (null), and one alone is a dot. Pure. */
export function line(numbers, most, width = WIDTH, height = HEIGHT) {
  const step = numbers.length > 1 ? width / (numbers.length - 1) : 0;
  const near = (number) => Math.round(number * 10) / 10;
  const at = (number, index) => `${near(index * step)} ${near(height - (number / most) * height)}`;
  let path = '';
  numbers.forEach((number, index) => {
    if (number === null) return;
    const begins = index === 0 || numbers[index - 1] === null;
    path += `${begins ? 'M' : 'L'}${at(number, index)}`;
    if (begins && (numbers[index + 1] ?? null) === null) path += 'h0.01';
  });
  return path;
}

/** What a plot says, in a sentence. Pure. */
export function summary(series, points, format) {
  return series.map(({ label, pick }) => {
    const known = points.map(pick).filter((number) => number !== null);
    return known.length ? t('plot.line', { label, most: format(Math.max(...known)), last: format(known.at(-1)) }) : t('plot.nothing', { label });
  }).join(' ');
}

/** One plot of a column of numbers each; `name` tells it from others on the page. */
export function plot({ name, title, series, points, format }) {
  const numbers = series.map(({ pick }) => points.map(pick));
  const most = top(Math.max(0, ...numbers.flat().filter((number) => number !== null)));
  const at = pointed?.name === name && points[pointed.index] ? pointed.index : null;
  const x = (index) => (points.length > 1 ? (index * WIDTH) / (points.length - 1) : 0);
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const index = Math.round(((event.clientX - box.left) / box.width) * (points.length - 1));
    if (pointed?.name !== name || pointed.index !== index) changed();
    pointed = { name, index };
  };
  const swatch = (index) => h('svg', { class: 'swatch', viewBox: '0 0 20 4', 'aria-hidden': 'true' }, h('path', { class: `line-${index}`, d: 'M0 2L20 2' }));
  const shown = (number) => (number === null ? '—' : format(number));
  return h('figure', { key: name, class: 'plot card' },
    h('figcaption', null, h('h3', null, title), h('span', { class: 'legend' }, series.map(({ label }, index) => h('span', { key: label }, swatch(index), label, at !== null && h('b', { class: 'number' }, ` ${shown(numbers[index][at])}`))),
      h('span', { key: 'when', class: 'quiet' }, at === null ? '' : moment(points[at].at)))),
    h('div', { class: 'field-of', onpointermove: point, onpointerleave: () => { pointed = null; changed(); } },
      h('span', { class: 'scale number', 'aria-hidden': 'true' }, format(most)),
      h('svg', { role: 'img', 'aria-label': `${title}. ${summary(series, points, format)}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' },
        h('path', { class: 'grid', d: `M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` }),
        h('path', { class: 'swap', d: points.map((one, index) => (one.swaps ? `M${Math.round(x(index))} 0V${HEIGHT}` : '')).join('') }),
        at !== null && h('path', { key: 'at', class: 'grid', d: `M${Math.round(x(at))} 0V${HEIGHT}` }),
        numbers.map((column, index) => h('path', { key: `line-${index}`, class: `line-${index}`, d: line(column, most) })))),
    h('p', { class: 'scale-of quiet', 'aria-hidden': 'true' }, h('span', null, points.length ? moment(points[0].at) : ''), h('span', null, points.length ? moment(points.at(-1).at) : '')),
    h('details', { open: opened.has(name), ontoggle: ({ target }) => { opened[target.open ? 'add' : 'delete'](name); changed(); } }, h('summary', null, t('plot.table')),
      opened.has(name) && asTable(title, series, points, shown)));
}

/** The latest points where there is anything. */
function asTable(title, series, points, shown) {
  const told = points.filter((point) => series.some(({ pick }) => pick(point)) || point.swaps);
  return table(title, [t('col.when'), ...series.map(({ label }) => label), t('use.swaps')], told.slice(-200).reverse().map((one) => h('tr', { key: one.at },
    h('th', { scope: 'row' }, moment(one.at)), series.map(({ pick }) => h('td', { class: 'number' }, shown(pick(one)))), h('td', { class: 'number' }, one.swaps || ''))));
}
