// Trying a plugin's endpoints: the server makes the request, and what comes back is shown as text, whatever it is.
import { act, of } from '../api.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { perform, quiet } from '../parts.js';
import { changed } from '../store.js';

let draft = null;
let answer = null;

export function enter({ name }) {
  if (draft?.name !== name) [draft, answer] = [null, null];
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

export function view(place, signal, plugin) {
  const first = plugin.endpoints[0];
  draft ??= { name: plugin.name, method: first && first.method !== '*' ? first.method : 'GET', path: first?.path.replace(/\*$/, '') ?? plugin.urls[0] ?? '', body: '' };
  const set = (change) => { Object.assign(draft, change); changed(); };
  const send = async (event) => {
    event.preventDefault();
    const { method, path, body } = draft;
    const headers = body ? { 'content-type': 'application/json' } : {};
    const tried = await perform(`${plugin.name}/try`, () => act('POST', of(plugin.name, '/try'), { body: { method, path, headers, body } }));
    if (tried) answer = tried;
    changed();
  };
  return [
    quiet(t('try.how')),
    h('form', { class: 'row', onsubmit: send },
      plugin.endpoints.length > 0 && h('div', { class: 'field' }, h('label', { for: 'try-choose' }, t('try.choose')), h('select', { id: 'try-choose', onchange: (event) => { const one = plugin.endpoints[event.target.value]; if (one) set({ method: one.method === '*' ? 'GET' : one.method, path: one.path.replace(/\*$/, '') }); } },
        plugin.endpoints.map((one, index) => h('option', { value: String(index) }, `${one.method} ${one.path}`)))),
      h('div', { class: 'field' }, h('label', { for: 'try-method' }, t('try.method')), h('select', { id: 'try-method', value: draft.method, onchange: (event) => set({ method: event.target.value }) }, METHODS.map((one) => h('option', { value: one }, one)))),
      h('div', { class: 'field wide' }, h('label', { for: 'try-path' }, t('try.path')), h('input', { id: 'try-path', type: 'text', required: true, spellcheck: 'false', value: draft.path, oninput: (event) => set({ path: event.target.value }) })),
      !['GET', 'HEAD'].includes(draft.method) && h('div', { key: 'body', class: 'field full' }, h('label', { for: 'try-body' }, t('try.body')), h('textarea', { id: 'try-body', rows: '4', spellcheck: 'false', value: draft.body, oninput: (event) => set({ body: event.target.value }) })),
      h('button', { class: 'primary', type: 'submit' }, t('act.send'))),
    answer && h('section', { key: 'answer', 'aria-live': 'polite' }, h('h2', null, t('try.answer')), h('p', { class: answer.status < 400 ? 'good' : 'bad' }, t('try.took', { status: answer.status, time: answer.milliseconds })),
      h('details', null, h('summary', null, t('try.headers')), h('pre', { tabindex: '0' }, answer.headers.map(([key, value]) => `${key}: ${value}`).join('\n'))),
      h('pre', { tabindex: '0', class: 'answer' }, answer.body || t('try.empty')), answer.cut && quiet(t('try.cut'))),
  ];
}
