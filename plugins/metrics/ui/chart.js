// The chart of a number over time, with the same numbers as a table. Which plugin, which number and how far back is set where the
// widget stands. What must not live here: what the numbers mean.
import { NAMES, line, query, shown } from './numbers.js';

const EVERY = 10_000;
const WIDTH = 400;
const HEIGHT = 110;
const SVG = 'http://www.w3.org/2000/svg';

const make = (tag, props = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

function drawn(path, label) {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': label, width: '100%', height: HEIGHT, preserveAspectRatio: 'none' })) svg.setAttribute(name, value);
  for (const [d, width, opacity] of [[`M0 0H${WIDTH}M0 ${HEIGHT}H${WIDTH}`, 1, 0.3], [path, 2, 1]]) {
    const one = document.createElementNS(SVG, 'path');
    for (const [name, value] of Object.entries({ d, fill: 'none', stroke: 'currentColor', 'stroke-width': width, opacity, 'vector-effect': 'non-scaling-stroke', 'stroke-linecap': 'round' })) one.setAttribute(name, value);
    svg.append(one);
  }
  return svg;
}

const table = (what, points) => make('details', {}, make('summary', {}, 'As a table'), make('table', {},
  make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'When'), make('th', { scope: 'col' }, NAMES[what]))),
  make('tbody', {}, ...points.slice(-60).reverse().map((point) => make('tr', {}, make('th', { scope: 'row' }, new Date(point.at).toLocaleString()), make('td', {}, shown(what, point[what])))))));

export const widgets = {
  chart: {
    async mount(root, ctx) {
      let config = ctx.config;
      const place = make('div', {});
      root.append(place);
      const look = async () => {
        const { plugin, span } = config;
        const what = Object.hasOwn(NAMES, config.what) ? config.what : 'requests';
        const isOpen = place.querySelector('details')?.open ?? false;
        try {
          const { points } = await ctx.read('analytics', query(span, Date.now()), plugin);
          const numbers = points.map((point) => point[what]);
          const known = numbers.filter((number) => number !== null && number !== undefined);
          const most = Math.max(...known, 0);
          const told = known.length ? `${shown(what, most)} at most, ${shown(what, known.at(-1))} at last` : 'nothing yet';
          const title = `${plugin}: ${NAMES[what]}`;
          const held = table(what, points);
          held.open = isOpen;
          place.replaceChildren(make('h3', {}, title), drawn(line(numbers, most || 1, WIDTH, HEIGHT), `${title}, ${told}`), make('p', {}, `${told}, over the last ${span}`), held);
        } catch (error) {
          place.replaceChildren(make('p', {}, `${plugin}: ${error.message}`));
        }
      };
      const timer = setInterval(look, EVERY);
      ctx.signal.addEventListener('abort', () => clearInterval(timer));
      await look();
      return {
        update(change) {
          if (!change.config) return undefined;
          config = change.config;
          return look();
        },
      };
    },
  },
};
