// Tokens: made with a secret that is shown once, listed without it, revoked.
import { act, get } from '../api.js';
import { confirm, modal, say } from '../dialogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { code, perform, quiet, table, time, told } from '../parts.js';
import { changed } from '../store.js';

let tokens = null;
let trouble = null;
const wish = { name: '', role: 'viewer', expires: '' };

export async function enter() {
  try {
    tokens = (await get('/api/v1/tokens')).items;
    trouble = null;
  } catch (problem) {
    trouble = told(problem, '');
  }
  changed();
}

async function make(event) {
  event.preventDefault();
  const body = { name: wish.name, role: wish.role, ...(wish.expires && { expires: new Date(wish.expires).toISOString() }) };
  const made = await perform('token', () => act('POST', '/api/v1/tokens', { body }));
  if (!made) return;
  wish.name = '';
  enter();
  await modal(t('tokens.secret', { name: made.name }), (close) => [
    h('pre', { tabindex: '0', class: 'answer' }, made.token),
    h('p', { class: 'acts' }, h('button', { onclick: () => navigator.clipboard?.writeText(made.token).then(() => say(t('copied')), () => {}) }, t('copy')), h('button', { class: 'primary', onclick: () => close(null) }, t('close')))]);
}

async function revoke(token) {
  if (!(await confirm(t('tokens.confirm', { name: token.name }), t('tokens.confirm.how'), t('tokens.revoke')))) return;
  if (await perform(`token/${token.id}`, () => act('DELETE', `/api/v1/tokens/${token.id}`), { done: t('tokens.gone', { name: token.name }) })) enter();
}

const standing = (token) => (token.holds ? t('tokens.holds') : t(token.revoked ? 'tokens.revoked' : 'tokens.expired'));

export function view() {
  return [
    h('h1', null, t('tokens.title')),
    h('form', { class: 'row card', 'aria-label': t('tokens.new'), onsubmit: make },
      h('div', { class: 'field' }, h('label', { for: 'token-name' }, t('tokens.name')), h('input', { id: 'token-name', type: 'text', required: true, pattern: '[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}', autocomplete: 'off', value: wish.name, oninput: (event) => { wish.name = event.target.value; changed(); } })),
      h('div', { class: 'field' }, h('label', { for: 'token-role' }, t('tokens.role')), h('select', { id: 'token-role', value: wish.role, onchange: (event) => { wish.role = event.target.value; } }, ['viewer', 'operator', 'admin'].map((role) => h('option', { value: role }, t(`role.${role}`))))),
      h('div', { class: 'field' }, h('label', { for: 'token-expires' }, t('tokens.expires')), h('input', { id: 'token-expires', type: 'datetime-local', 'aria-describedby': 'token-forever', oninput: (event) => { wish.expires = event.target.value; } }), h('p', { id: 'token-forever', class: 'quiet' }, t('tokens.forever'))),
      h('button', { class: 'primary', type: 'submit' }, t('tokens.make'))),
    !tokens ? quiet(trouble ?? t('loading')) : tokens.length ? table(t('tokens.title'), [t('col.name'), t('col.role'), t('col.state'), t('col.when'), t('col.expires'), t('col.acts')], tokens.map((token) => h('tr', { key: String(token.id) },
      h('th', { scope: 'row' }, code(token.name)), h('td', null, t(`role.${token.role}`)), h('td', { class: token.holds ? 'good' : 'quiet' }, standing(token)), h('td', null, time(token.created)), h('td', null, token.expires ? time(token.expires) : '—'),
      h('td', { class: 'acts' }, token.holds && h('button', { class: 'danger', 'aria-label': `${t('tokens.revoke')} ${token.name}`, onclick: () => revoke(token) }, t('tokens.revoke')))))) : quiet(t('tokens.none')),
  ];
}
