// The catalogs that are followed: in what state each is, what it may, and looking at it now.
import { act } from '../api.js';
import { known, lookAtCatalogs } from '../catalogs.js';
import { confirm } from '../dialogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { code, name, perform, quiet, table, time, words } from '../parts.js';
import { changed, may, state } from '../store.js';

const empty = () => ({ name: '', url: '', root_sha256: '', attested_by: '', pins: '', unsigned: false });
const listed = (text) => text.split(',').map((one) => one.trim()).filter(Boolean);
let wish = empty();

const of = (catalog, rest = '') => `/api/v1/catalogs/${encodeURIComponent(catalog.name)}${rest}`;

async function sync(catalog) {
  await perform(`catalog/${catalog.name}`, () => act('POST', of(catalog, '/sync')), { done: t('sources.done.sync', { name: catalog.name }) });
  await lookAtCatalogs();
}

async function remove(catalog) {
  if (!(await confirm(t('sources.remove.sure', { name: catalog.name }), t('sources.remove.how'), t('sources.remove')))) return;
  await perform(`catalog/${catalog.name}`, () => act('DELETE', of(catalog)), { done: t('sources.done.remove', { name: catalog.name }) });
  await lookAtCatalogs();
}

async function add(event) {
  event.preventDefault();
  const { root_sha256: root, ...rest } = wish;
  const body = { ...rest, attested_by: listed(wish.attested_by), pins: listed(wish.pins) };
  const added = await perform('catalog', () => act('POST', '/api/v1/catalogs', { body: { ...body, ...(root && { root_sha256: root.trim() }) } }));
  if (!added) return;
  wish = empty();
  await lookAtCatalogs();
}

function row(catalog) {
  const busy = state.busy.has(`catalog/${catalog.name}`) ? 'true' : null;
  const limits = [catalog.names.length && t('sources.names', { list: catalog.names.join(', ') }), catalog.publishers.length && t('sources.publishers', { count: catalog.publishers.length }),
    catalog.attested_by.length && t('sources.attested', { list: catalog.attested_by.join(', ') }), catalog.pins.length && t('sources.pins', { list: catalog.pins.map((pin) => pin.split('=')[0]).join(', ') })].filter(Boolean);
  return h('tr', { key: catalog.name },
    h('th', { scope: 'row' }, name(catalog.name), catalog.unsigned && [' ', h('span', { class: 'tag bad' }, t('sources.unsigned'))]),
    h('td', { class: 'why' }, catalog.trouble ? h('span', { class: 'bad reason' }, t('sources.failing', { why: catalog.trouble })) : catalog.synced ? h('span', { class: 'good' }, t('sources.well')) : h('span', { class: 'quiet' }, t('sources.notYet')), catalog.synced && h('span', { class: 'quiet below' }, t('sources.looked'), ' ', time(catalog.synced))),
    h('td', { class: 'number', 'data-head': t('sources.listed') }, catalog.listed), h('td', { class: 'number', 'data-head': t('col.version') }, catalog.version),
    h('td', { class: 'why' }, code(catalog.url), h('span', { class: 'quiet below' }, t('sources.root'), ' ', h('code', { title: catalog.root_sha256 }, catalog.root_sha256.slice(0, 16)), '…', limits.map((one) => ` · ${one}`))),
    may('operator') && h('td', { class: 'acts' }, h('button', { 'aria-label': `${t('sources.sync')} ${catalog.name}`, 'aria-busy': busy, onclick: () => sync(catalog) }, t('sources.sync')),
      may('admin') && h('button', { class: 'danger', 'aria-label': `${t('sources.remove')} ${catalog.name}`, onclick: () => remove(catalog) }, t('sources.remove'))));
}

function form() {
  const field = (key, label, more = {}) => h('div', { class: key === 'name' ? 'field' : 'field wide' }, h('label', { for: `catalog-${key}` }, label), h('input', { id: `catalog-${key}`, type: 'text', autocomplete: 'off', spellcheck: 'false', value: wish[key], oninput: (event) => { wish[key] = event.target.value; changed(); }, ...more }));
  return h('form', { key: 'add', class: 'row card', 'aria-label': t('sources.add'), onsubmit: add },
    field('name', t('col.name'), { required: true }), field('url', t('sources.url'), { required: true }), field('root_sha256', t('sources.root.wanted')), field('attested_by', t('sources.attested.wanted')), field('pins', t('sources.pins.wanted')),
    h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: wish.unsigned, onchange: (event) => { wish.unsigned = event.target.checked; changed(); } }), t('sources.unsigned.take')),
    h('button', { class: 'primary', type: 'submit', 'aria-busy': state.busy.has('catalog') ? 'true' : null }, t('sources.add')));
}

export function view() {
  if (!known.catalogs) return quiet(known.trouble ? '' : t('loading'));
  return [
    known.catalogs.length ? h('div', { key: 'list' }, table(t('sources.title'), [t('col.name'), t('col.state'), t('sources.listed'), t('col.version'), t('sources.url'), ...(may('operator') ? [t('col.acts')] : [])], known.catalogs.map(row))) : h('p', { key: 'none', class: 'quiet' }, words(t(may('admin') ? 'sources.none' : 'catalog.none'))),
    may('admin') && form(),
    h('div', { key: 'how' }, quiet(t('sources.how'))),
  ];
}
