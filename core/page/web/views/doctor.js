// What `camlock doctor` finds: of the server and its plugins, and for operators of the machine that it runs on, each with its remedy.
import { get } from '../api.js';
import { h } from '../dom.js';
import { every } from '../live.js';
import { t } from '../messages.js';
import { quiet, table, time, told, words } from '../parts.js';
import { changed } from '../store.js';

/** Things are tried each time, so it is not looked too often. */
const AGAIN = 60_000;
const TONES = { good: 'good', warning: 'careful', wrong: 'bad' };
const own = { seen: null, trouble: null, looking: false };

async function look() {
  if (own.looking) return;
  own.looking = true;
  changed();
  try {
    Object.assign(own, { seen: await get('/api/v1/doctor'), trouble: null });
  } catch (problem) {
    own.trouble = told(problem, '');
  }
  own.looking = false;
  changed();
}

export function enter(place, signal) {
  every(AGAIN, look, signal);
}

/** What is wrong first, and what is well last; within that in the order of the command line. Pure. */
export const ordered = (findings) => ['wrong', 'warning', 'good'].flatMap((level) => findings.filter((one) => one.level === level));

/** The tone of the worst of them. Pure. */
export const worst = (findings) => TONES[ordered(findings)[0]?.level ?? 'good'];

/** How many there are of what is not well, in words. Pure. */
export function sum(findings) {
  const count = (level) => findings.filter((one) => one.level === level).length;
  const [wrong, warnings] = [count('wrong'), count('warning')];
  if (!wrong && !warnings) return t('doctor.well');
  return [wrong && t('doctor.wrong', { count: wrong }), warnings && t('doctor.warnings', { count: warnings })].filter(Boolean).join(' ');
}

const row = ({ about, level, found, remedy }, index) => h('tr', { key: `${index}` },
  h('td', null, h('span', { class: TONES[level] }, t(`doctor.level.${level}`))), h('th', { scope: 'row' }, about),
  h('td', { class: 'why' }, words(found), remedy && h('span', { class: 'quiet below' }, '→ ', words(remedy))));

export function view() {
  const { seen, trouble, looking } = own;
  const findings = seen?.findings ?? [];
  return [
    h('div', { class: 'head' }, h('h1', null, t('doctor.title')), seen && h('span', { key: 'sum', role: 'status', class: worst(findings) }, sum(findings)), h('span', { class: 'room' }),
      h('button', { key: 'again', 'aria-busy': looking ? 'true' : null, onclick: look }, t('refresh'))),
    trouble && h('p', { key: 'trouble', class: 'bad', role: 'alert' }, trouble),
    !seen ? !trouble && quiet(t('loading')) : [
      h('p', { key: 'how', class: 'quiet' }, words(t(seen.machine ? 'doctor.machine' : 'doctor.server')), ' ', time(seen.at)),
      h('div', { key: 'list' }, table(t('doctor.title'), [t('col.state'), t('col.what'), t('doctor.found')], ordered(findings).map(row)))],
  ];
}
