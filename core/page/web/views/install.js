// Installing: a file that is sent, or something on the server. How far it is sent stands here; what the server makes of it, stage by
// stage, on the plugin's own view.
import { act, Problem, upload } from '../api.js';
import { say } from '../dialogs.js';
import { h } from '../dom.js';
import { t } from '../messages.js';
import { quiet, told, words } from '../parts.js';
import { go } from '../router.js';
import { changed } from '../store.js';

const wish = { file: null, path: '', replace: false, grant: false, percent: null, trouble: null };

function typeOf({ name }) {
  if (name.endsWith('.zip')) return 'application/zip';
  return /\.(tar\.gz|tgz)$/.test(name) ? 'application/gzip' : 'application/octet-stream';
}

async function install(event) {
  event.preventDefault();
  if (wish.percent !== null) return;
  wish.trouble = Boolean(wish.file) === Boolean(wish.path) ? t(wish.file ? 'install.both' : 'install.choose') : null;
  if (wish.trouble) return changed();
  const query = `/api/v1/plugins?wait=false&replace=${wish.replace}${wish.grant ? '&grant=asked' : ''}`;
  wish.percent = 0;
  changed();
  try {
    const placed = wish.file
      ? await upload(query, wish.file, typeOf(wish.file), (percent) => { wish.percent = percent; changed(); })
      : await act('POST', query, { body: { path: wish.path } });
    say(t('done.installed', { name: placed.name }));
    Object.assign(wish, { file: null, path: '' });
    go('plugin', placed.name);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    wish.trouble = told(problem, '');
  }
  wish.percent = null;
  changed();
}

export function view() {
  return [
    h('h1', null, t('install.title')),
    h('form', { class: 'configuration', 'aria-label': t('install.title'), onsubmit: install },
      h('div', { class: 'field' }, h('label', { for: 'install-file' }, t('install.file')), h('input', { id: 'install-file', type: 'file', accept: '.so,.tar.gz,.tgz,.zip', onchange: (event) => { wish.file = event.target.files[0] ?? null; } })),
      h('div', { class: 'field' }, h('label', { for: 'install-path' }, t('install.path')), h('input', { id: 'install-path', type: 'text', spellcheck: 'false', 'aria-describedby': 'install-path-how', value: wish.path, oninput: (event) => { wish.path = event.target.value; } }), h('p', { id: 'install-path-how', class: 'quiet' }, words(t('install.path.how')))),
      h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: wish.replace, onchange: (event) => { wish.replace = event.target.checked; } }), t('install.replace')),
      h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: wish.grant, onchange: (event) => { wish.grant = event.target.checked; } }), t('install.grant')),
      h('p', { class: 'bad', role: 'alert' }, wish.trouble ?? ''),
      wish.percent !== null && h('div', { key: 'progress' }, h('progress', { max: '100', value: wish.percent, 'aria-label': t('install.progress') }), quiet(wish.percent < 100 ? t('install.sent', { percent: wish.percent }) : t('install.looked'))),
      h('p', { key: 'acts', class: 'acts' }, h('button', { class: 'primary', type: 'submit' }, t('install.do')))),
  ];
}
