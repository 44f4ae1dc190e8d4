// Who is here: signing in with a code or a token, and out. A session that ends in the middle of something asks for a token above what
// is there, which stays as it is. What must not live here: what a role may.
import { ask, onSignedOut, Problem } from './api.js';
import { h, paint } from './dom.js';
import { t } from './messages.js';
import { changed, state } from './store.js';

const headers = { 'content-type': 'application/json' };

async function post(shown) {
  const answer = await fetch('/session', { method: 'POST', headers, body: JSON.stringify(shown) }).catch(() => null);
  if (!answer) throw new Problem(0, { detail: t('refused.offline') });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

async function look() {
  const answer = await ask('GET', '/api/v1/whoami', { patient: false });
  state.who = await answer.json();
  changed();
}

/** Begins: with a code in the address, a session that there is, or a token. Resolves when somebody is here. */
export async function begin() {
  const code = /^#code=([0-9A-Za-z_]+)$/.exec(location.hash)?.[1];
  if (code) {
    // It is of no use a second time, and nobody need see it.
    history.replaceState(null, '', '#/');
    const problem = await post({ code }).then(() => null, (problem) => problem);
    if (problem) return signIn(problem.message);
  }
  await look().catch((problem) => {
    if (problem.status === 401) return signIn();
    return new Promise((resolve) => setTimeout(resolve, 1000)).then(begin);
  });
}

export async function signOut() {
  await fetch('/session', { method: 'DELETE' });
  location.reload();
}

let asking = null;

/** Asks for a token until one holds. */
export function signIn(told = null) {
  asking ??= new Promise((resolve) => show(told, resolve)).finally(() => (asking = null));
  return asking;
}

function show(first, resolve) {
  const dialog = document.createElement('dialog');
  dialog.className = 'sign';
  dialog.setAttribute('aria-labelledby', 'sign-title');
  const again = state.who !== null;
  let told = first;
  const draw = () => paint(dialog, h('form', { onsubmit: submit },
    h('h2', { id: 'sign-title' }, again ? t('sign.again') : t('sign.in')),
    again && h('p', null, t('sign.kept')),
    h('p', { id: 'sign-how', class: 'quiet' }, t('sign.how')),
    h('label', { for: 'sign-token' }, t('sign.token')),
    h('input', { id: 'sign-token', type: 'password', autocomplete: 'off', required: true, 'aria-describedby': 'sign-how sign-told', 'aria-invalid': told ? 'true' : 'false' }),
    h('p', { id: 'sign-told', class: 'bad', role: 'alert' }, told ?? ''),
    h('p', { class: 'acts' }, h('button', { class: 'primary', type: 'submit' }, t('sign.in')))));
  const submit = async (event) => {
    event.preventDefault();
    try {
      await post({ token: dialog.querySelector('input').value });
      await look();
      dialog.close();
      dialog.remove();
      resolve();
    } catch (problem) {
      told = problem.message || t('refused.offline');
      draw();
      dialog.querySelector('input').focus();
    }
  };
  // It stays until somebody is here; a browser that is told twice to close it asks only once (`cancel`).
  dialog.addEventListener('close', () => dialog.isConnected && dialog.showModal());
  draw();
  document.body.append(dialog);
  dialog.showModal();
}

onSignedOut(() => signIn());
