// The work that a plugin has done later: its tasks, what comes of each, and the set times at which it is called.
import { act, get, of } from '../api.js';
import { modal } from '../dialogs.js';
import { h } from '../dom.js';
import { every } from '../live.js';
import { t } from '../messages.js';
import { code, pairs, perform, quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

const AGAIN = 3000;
const STATES = ['waiting', 'running', 'done', 'dead', 'cancelled'];
const TONES = { running: 'good', done: 'good', dead: 'bad' };
const PAGE = 50;
let shown = null;
let only = '';

export function enter({ name }, signal) {
  shown = { name, tasks: null, schedules: [], most: PAGE, more: false, trouble: null };
  const own = shown;
  every(AGAIN, () => look(own), signal);
}

async function look(own) {
  try {
    const state = only ? `&state=${only}` : '';
    const [tasks, schedules] = await Promise.all([get(`/api/v1/tasks?plugin=${encodeURIComponent(own.name)}&limit=${own.most}${state}`), get(of(own.name, '/schedules'))]);
    Object.assign(own, { tasks: tasks.items, more: tasks.next !== null, schedules: schedules.items, trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

async function order(own, task, word) {
  if (await perform(`task/${task.id}`, () => act('POST', `/api/v1/tasks/${encodeURIComponent(task.id)}/${word}`), { done: t(`tasks.done.${word}`, { type: task.type }) })) await look(own);
}

async function show({ id }) {
  const task = await perform(`task/${id}`, () => get(`/api/v1/tasks/${encodeURIComponent(id)}`));
  if (!task) return;
  const json = (value) => (value === null ? null : h('pre', { tabindex: '0' }, JSON.stringify(value, null, 2)));
  await modal(t('tasks.one', { type: task.type }), (close) => [
    pairs([[t('col.state'), t(`task.${task.state}`)], [t('tasks.id'), code(task.id)], [t('tasks.enqueued'), time(task.enqueued)], [t('tasks.due'), time(task.due)], [t('tasks.begun'), task.begun && time(task.begun)], [t('tasks.ended'), task.ended && time(task.ended)], [t('tasks.error'), task.error],
      [t('tasks.input'), json(task.input)], [t('tasks.progress'), json(task.progress)], [t('tasks.result'), json(task.result)]]),
    h('p', { class: 'acts' }, h('button', { onclick: () => close(null) }, t('close')))], { wide: true });
}

const button = (own, task, word) => h('button', { key: word, 'aria-label': `${t(`tasks.${word}`)} ${task.type} ${task.id}`, onclick: () => order(own, task, word) }, t(`tasks.${word}`));

function row(own, task) {
  const tried = task.attempts ? t('tasks.tried', { failures: task.failures, attempts: task.attempts }) : String(task.failures);
  return h('tr', { key: task.id },
    h('th', { scope: 'row' }, code(task.type)), h('td', { class: TONES[task.state] ?? null }, t(`task.${task.state}`), task.cancel && task.state === 'running' && h('span', { class: 'quiet' }, ` · ${t('tasks.ending')}`)),
    h('td', null, time(task.ended ?? task.begun ?? task.due)), h('td', { class: 'number' }, tried), h('td', { class: 'why' }, task.error ?? (task.progress === null ? '' : JSON.stringify(task.progress))),
    h('td', { class: 'acts' }, h('button', { key: 'show', 'aria-label': `${t('values.show')} ${task.type} ${task.id}`, onclick: () => show(task) }, t('values.show')),
      ['waiting', 'running'].includes(task.state) && !task.cancel && button(own, task, 'cancel'), ['dead', 'cancelled'].includes(task.state) && button(own, task, 'retry')));
}

export function view(place) {
  const own = shown;
  if (!own?.tasks || own.name !== place.name) return quiet(own?.trouble ?? t('loading'));
  const choose = (event) => { only = event.target.value; own.most = PAGE; look(own); };
  return [
    own.trouble && h('p', { key: 'trouble', class: 'bad' }, own.trouble),
    own.schedules.length > 0 && h('section', { key: 'schedules' }, h('h2', null, t('schedules.title')), table(t('schedules.title'), [t('col.name'), t('schedules.times'), t('schedules.next'), t('schedules.last')], own.schedules.map((one) => h('tr', { key: one.name },
      h('th', { scope: 'row' }, code(one.name)), h('td', null, code(one.times)), h('td', null, one.next ? time(one.next) : t('values.never')), h('td', null, one.last ? time(one.last) : t('values.never')))))),
    h('h2', { key: 'title' }, t('tab.tasks')),
    h('div', { key: 'filter', class: 'filter' }, h('label', { for: 'task-state' }, t('col.state')), h('select', { id: 'task-state', value: only, onchange: choose }, h('option', { value: '' }, t('overview.any')), STATES.map((state) => h('option', { value: state }, t(`task.${state}`))))),
    own.tasks.length ? h('div', { key: 'list' }, table(t('tab.tasks'), [t('tasks.type'), t('col.state'), t('col.when'), t('tasks.failures'), t('col.detail'), t('col.acts')], own.tasks.map((task) => row(own, task))),
      own.more && h('button', { onclick: () => { own.most = Math.min(500, own.most + PAGE); look(own); } }, t('more'))) : h('p', { key: 'none', class: 'quiet' }, t('tasks.none')),
  ];
}
