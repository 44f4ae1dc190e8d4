// What a plugin keeps with its server: its tables, counted, and its values.
import { act, ask, get, of } from '../api.js';
import { confirm, modal } from '../dialogs.js';
import { h } from '../dom.js';
import { size, t } from '../messages.js';
import { code, perform, quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

let shown = null;
let prefix = '';

export async function enter({ name }) {
  shown = { name, items: null, next: null, trouble: null, kept: null, troubleOfTables: null };
  await Promise.all([more(shown), lookAtTables(shown)]);
}

async function lookAtTables(own) {
  try {
    own.kept = await get(of(own.name, '/tables'));
  } catch (problem) {
    own.troubleOfTables = told(problem, own.name);
  }
  changed();
}

async function more(own) {
  try {
    const cursor = own.next ? `&cursor=${encodeURIComponent(own.next)}` : '';
    const page = await get(of(own.name, `/storage?limit=100&prefix=${encodeURIComponent(prefix)}${cursor}`));
    own.items = [...(own.items ?? []), ...page.items];
    own.next = page.next;
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

const pathOf = (own, key) => of(own.name, `/storage/${encodeURIComponent(key)}`);

async function show(own, { key }) {
  const bytes = await perform(`value/${key}`, async () => (await ask('GET', pathOf(own, key))).arrayBuffer());
  if (!bytes) return;
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    text = t('values.binary', { size: bytes.byteLength });
  }
  await modal(t('values.text', { key }), (close) => [h('pre', { tabindex: '0' }, text), h('p', { class: 'acts' }, h('button', { onclick: () => close(null) }, t('close')))], { wide: true });
}

async function remove(own, { key, revision }) {
  if (!(await confirm(`${t('values.delete')} ${key}?`, t('tokens.confirm.how').split('. ').at(-1), t('values.delete')))) return;
  if (await perform(`value/${key}`, () => act('DELETE', pathOf(own, key), { revision }), { done: t('values.deleted', { key }) })) await enter(own);
}

/** How many rows, in words. Pure. */
export const counted = ({ rows, more: isMore }) => (rows === null ? t('tables.view') : t(isMore ? 'tables.more' : 'tables.rows', { count: rows }));

function tables({ kept, troubleOfTables }) {
  if (!kept) return troubleOfTables && h('p', { key: 'no-tables', class: 'bad' }, troubleOfTables);
  if (!kept.tables.length && !kept.migrations.length) return null;
  return h('section', { key: 'tables' }, h('h2', null, t('tables.title')),
    kept.tables.length > 0 && table(t('tables.title'), [t('col.name'), t('tables.size')], kept.tables.map((one) => h('tr', { key: one.name }, h('th', { scope: 'row' }, code(one.name)), h('td', { class: 'number' }, counted(one))))),
    kept.migrations.length > 0 && h('details', null, h('summary', null, t('tables.migrations', { count: kept.migrations.length })), h('ol', null, kept.migrations.map((one) => h('li', { key: `${one.number}` }, code(`${String(one.number).padStart(4, '0')}_${one.name}`), one.contracts && ` ${t('tables.contracts')}`)))));
}

export function view() {
  const own = shown;
  if (!own?.items) return quiet(own?.trouble ?? t('loading'));
  return [
    tables(own),
    h('h2', { key: 'title' }, t('tab.values')),
    h('form', { class: 'filter', onsubmit: (event) => { event.preventDefault(); enter(own); } }, h('label', { for: 'prefix' }, t('values.prefix')), h('input', { id: 'prefix', type: 'search', value: prefix, oninput: (event) => { prefix = event.target.value; } }), h('button', { type: 'submit' }, t('values.show'))),
    own.items.length ? h('div', { key: 'list' }, table(t('tab.values'), [t('col.key'), t('col.size'), t('col.revision'), t('col.expires'), t('col.acts')], own.items.map((one) => h('tr', { key: one.key },
      h('th', { scope: 'row' }, code(one.key)), h('td', { class: 'number' }, size(one.size)), h('td', { class: 'number' }, one.revision), h('td', null, one.expires ? time(one.expires) : t('values.never')),
      h('td', { class: 'acts' }, h('button', { 'aria-label': `${t('values.show')} ${one.key}`, onclick: () => show(own, one) }, t('values.show')), h('button', { class: 'danger', 'aria-label': `${t('values.delete')} ${one.key}`, onclick: () => remove(own, one) }, t('values.delete')))))),
    own.next && h('button', { onclick: () => more(own) }, t('more'))) : h('p', { key: 'none', class: 'quiet' }, t('values.none')),
  ];
}
