// What a plugin says: followed, by level, searched; and how much it says.
import { act, get, of } from '../api.js';
import { h } from '../dom.js';
import { follow } from '../live.js';
import { clock, t } from '../messages.js';
import { perform, quiet } from '../parts.js';
import { changed, may } from '../store.js';

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];
const MOST = 1000;
let shown = null;
let worst = '';
let typed = '';

export function enter({ name }, signal) {
  shown = { name, lines: [], paused: false, level: null, waiting: [] };
  const own = shown;
  follow(of(name, '/logs?follow=true&limit=500'), (line) => {
    keep(own.paused ? own.waiting : own.lines, line);
    changed();
  }, { signal });
  get(of(name, '/level')).then(({ level }) => { own.level = level; changed(); }, () => {});
}

/** The latest, also while nobody follows them. */
function keep(lines, ...more) {
  lines.push(...more);
  lines.splice(0, lines.length - MOST);
}

export function fitting(lines, level, text) {
  const wanted = text.toLowerCase();
  const last = level ? LEVELS.indexOf(level) : LEVELS.length;
  return lines.filter((line) => LEVELS.indexOf(line.level) <= last && (!wanted || `${line.message} ${line.fields}`.toLowerCase().includes(wanted)));
}

export function view(place) {
  const own = shown;
  if (!own || own.name !== place.name) return quiet(t('loading'));
  const lines = fitting(own.lines, worst, typed);
  const pause = () => {
    own.paused = !own.paused;
    if (!own.paused) keep(own.lines, ...own.waiting.splice(0));
    changed();
  };
  const choose = async (event) => {
    const level = event.target.value || null;
    if (await perform(`${own.name}/level`, () => act('PUT', of(own.name, '/level'), { body: { level } }), { done: t('done.level', { name: own.name }) })) own.level = level;
  };
  return [
    h('div', { class: 'filter' },
      h('label', { class: 'unseen', for: 'log-search' }, t('logs.search')), h('input', { id: 'log-search', type: 'search', placeholder: t('logs.search'), value: typed, oninput: (event) => { typed = event.target.value; changed(); } }),
      h('label', { for: 'log-level' }, t('logs.level')), h('select', { id: 'log-level', value: worst, onchange: (event) => { worst = event.target.value; changed(); } }, h('option', { value: '' }, t('logs.any')), LEVELS.slice(0, 4).map((level) => h('option', { value: level }, t('logs.at', { level: t(`level.${level}`) })))),
      h('button', { 'aria-pressed': own.paused ? 'true' : 'false', onclick: pause }, t('logs.pause')),
      may('operator') && [h('label', { for: 'log-keep' }, t('logs.keep')), h('select', { id: 'log-keep', value: own.level ?? '', onchange: choose }, h('option', { value: '' }, t('logs.default')), LEVELS.map((level) => h('option', { value: level }, t(`level.${level}`))))],
      h('span', { class: 'quiet', role: 'status' }, t('logs.lines', { shown: lines.length, all: own.lines.length }))),
    h('div', { class: 'log', role: 'region', tabindex: '0', 'aria-label': t('logs.region') }, lines.length ? h('ol', null, lines.map((line) => h('li', { key: String(line.id), class: `line ${line.level}` },
      h('time', { datetime: line.at }, clock(line.at)), h('span', { class: 'level' }, t(`level.${line.level}`)), h('span', { class: 'message' }, line.message, line.fields && h('span', { class: 'quiet' }, ` ${line.fields}`))))) : quiet(t('logs.none'))),
  ];
}
