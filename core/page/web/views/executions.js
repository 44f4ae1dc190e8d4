// What a plugin works out for whoever waits: have it do so, and the log of what came of it.
import { act, get, of, Problem } from '../api.js';
import { h } from '../dom.js';
import { every } from '../live.js';
import { size, t } from '../messages.js';
import { quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

const AGAIN = 5000;
const STATUSES = ['success', 'error', 'timeout', 'cancelled', 'security_violation'];
let shown = null;
let only = '';
let input = '{}';

export function enter({ name }, signal) {
  shown = { name, items: null, trouble: null, answer: null, wrong: null, running: false };
  const own = shown;
  every(AGAIN, () => look(own), signal);
}

async function look(own) {
  try {
    const page = await get(of(own.name, `/executions?limit=100${only ? `&status=${only}` : ''}`));
    Object.assign(own, { items: page.items, trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

async function run(own) {
  let value;
  try {
    value = JSON.parse(input);
  } catch (error) {
    own.wrong = t('executions.bad', { why: error.message });
    return changed();
  }
  Object.assign(own, { running: true, wrong: null, answer: null });
  changed();
  try {
    own.answer = await act('POST', of(own.name, '/execute'), { body: { input: value } });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    own.wrong = told(problem, own.name);
  }
  own.running = false;
  await look(own);
}

export function view(place) {
  const own = shown;
  if (!own?.items || own.name !== place.name) return quiet(own?.trouble ?? t('loading'));
  const { answer } = own;
  return [
    own.trouble && h('p', { key: 'trouble', class: 'bad' }, own.trouble),
    h('form', { key: 'run', class: 'configuration', 'aria-label': t('executions.new'), onsubmit: (event) => { event.preventDefault(); run(own); } },
      h('div', { class: 'field' }, h('label', { for: 'execution-input' }, t('executions.input')), h('textarea', { id: 'execution-input', rows: '4', spellcheck: 'false', value: input, 'aria-describedby': 'execution-wrong', 'aria-invalid': own.wrong ? 'true' : null, oninput: (event) => { input = event.target.value; } })),
      h('p', { id: 'execution-wrong', class: 'bad', role: 'alert' }, own.wrong ?? ''),
      h('p', { class: 'acts' }, h('button', { class: 'primary', type: 'submit', 'aria-busy': own.running ? 'true' : null }, t('executions.run')))),
    answer && h('section', { key: 'answer', class: 'card', role: 'status' }, h('h2', null, t('executions.ended', { status: t(`execution.${answer.status}`), time: answer.execution_time_ms })),
      answer.error && h('p', { key: 'error', class: 'bad' }, answer.error), answer.status === 'success' && h('pre', { key: 'result', tabindex: '0', class: 'answer' }, JSON.stringify(answer.result, null, 2))),
    h('h2', { key: 'title' }, t('executions.log')),
    h('div', { key: 'filter', class: 'filter' }, h('label', { for: 'execution-status' }, t('col.outcome')), h('select', { id: 'execution-status', value: only, onchange: (event) => { only = event.target.value; look(own); } }, h('option', { value: '' }, t('events.any')), STATUSES.map((status) => h('option', { value: status }, t(`execution.${status}`))))),
    own.items.length ? h('div', { key: 'list' }, table(t('executions.log'), [t('col.when'), t('col.outcome'), t('executions.took'), t('executions.bytes'), t('col.generation'), t('col.who'), t('col.why')], own.items.map((one) => h('tr', { key: one.id },
      h('th', { scope: 'row' }, time(one.begun)), h('td', { class: one.status === 'success' ? 'good' : 'bad' }, t(`execution.${one.status}`)), h('td', { class: 'number' }, `${one.execution_time_ms} ms`), h('td', { class: 'number' }, `${size(one.input_bytes)} → ${size(one.output_bytes)}`),
      h('td', { class: 'number' }, one.generation ?? '—'), h('td', null, h('bdi', null, one.by)), h('td', { class: 'why' }, one.error ?? ''))))) : h('p', { key: 'none', class: 'quiet' }, t('executions.none')),
  ];
}
