// A plugin's configuration, as a form of its schema, or as JSON where there is none. What somebody types is kept whatever happens on
// the server meanwhile; the revision that they began with is the one that they change.
import { act, get, of, Problem } from '../api.js';
import { say } from '../dialogs.js';
import { h } from '../dom.js';
import { form } from '../form.js';
import { t } from '../messages.js';
import { quiet, told } from '../parts.js';
import { difference, MASK } from '../schema.js';
import { changed, state } from '../store.js';

let edited = null;

export async function enter({ name }) {
  if (edited?.name === name && isTouched(edited)) return;
  edited = { name, schema: undefined, kept: null, draft: null, text: null, misfits: [], round: 0, trouble: null };
  const own = edited;
  try {
    own.schema = await get(of(name, '/schema'));
  } catch (problem) {
    // Without a schema it is any JSON object.
    own.schema = null;
    if (problem.status !== 404) own.trouble = told(problem, name);
  }
  await look(own);
}

/** Whether somebody typed something that is not saved. */
const isTouched = (own) => own.kept !== null && (own.schema ? difference(own.kept, own.draft).length > 0 : own.text !== JSON.stringify(own.kept, null, 2));

async function look(own) {
  try {
    const plugin = await get(of(own.name));
    const kept = plugin.config ?? {};
    Object.assign(own, { kept, draft: kept, text: JSON.stringify(kept, null, 2), revision: plugin.revision, misfits: [], round: own.round + 1, trouble: null });
  } catch (problem) {
    own.trouble = told(problem, own.name);
  }
  changed();
}

const shown = (value, path) => (value === undefined ? t('config.absent') : value === MASK || path.secret ? t('config.hidden') : JSON.stringify(value));

/** Places of secrets: what is typed there is not shown again. */
function secrets(schema, pointer = '') {
  if (schema?.sensitive) return [pointer];
  return Object.entries(schema?.properties ?? {}).flatMap(([key, value]) => secrets(value, `${pointer}/${key}`));
}

async function save(own) {
  if (own.schema === null) {
    try {
      own.draft = JSON.parse(own.text);
    } catch (error) {
      own.misfits = [{ pointer: '', text: t('config.bad', { why: error.message }) }];
      return changed();
    }
  }
  own.saving = true;
  changed();
  try {
    await act('PUT', of(own.name), { body: { config: own.draft }, revision: own.revision });
    say(t('done.config', { name: own.name }));
    await look(own);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    own.misfits = problem.told.violations ?? [];
    if (!own.misfits.length) say(told(problem, own.name), { bad: true });
    else requestAnimationFrame(() => document.querySelector('[aria-invalid="true"]')?.focus());
  }
  own.saving = false;
  changed();
}

export function view(place, signal, plugin) {
  const own = edited;
  if (!own || own.name !== place.name || own.kept === null) return quiet(own?.trouble ?? t('loading'));
  const set = (change) => { own.draft = change(own.draft); changed(); };
  const hidden = secrets(own.schema);
  const changes = own.schema ? difference(own.kept, own.draft) : [];
  const stale = plugin.revision !== own.revision && state.plugins.has(own.name);
  return h('form', { key: `round-${own.round}`, class: 'configuration', 'aria-label': t('config.form', { name: own.name }), onsubmit: (event) => { event.preventDefault(); save(own); } },
    stale && h('p', { key: 'stale', class: 'notice' }, t('config.changed'), ' ', h('button', { type: 'button', onclick: () => look(own) }, t('config.takeNew'))),
    own.misfits.length > 0 && h('p', { key: 'misfits', class: 'bad', role: 'alert' }, own.misfits[0].text ?? t('config.misfits', { count: own.misfits.length }), own.misfits.filter(({ pointer, text }) => pointer === '' && !text).map((one) => ` ${t('config.expected', one)}`)),
    own.schema ? form(own.schema, { draft: own.draft, kept: own.kept, misfits: own.misfits.filter(({ pointer }) => pointer), set, plugin: own.name })
      : [quiet(t('config.none')), h('label', { for: 'config-json' }, t('config.json')), h('textarea', { id: 'config-json', rows: '14', spellcheck: 'false', value: own.text, oninput: (event) => { own.text = event.target.value; } })],
    own.schema && h('section', { key: 'changes', class: 'card' }, h('h2', null, t('config.changes')),
      changes.length ? h('ul', null, changes.map((one) => h('li', { key: one.pointer }, t('config.from', { path: one.pointer || '/', before: shown(one.before, {}), after: shown(one.after, { secret: hidden.includes(one.pointer) }) })))) : quiet(t('config.same')),
      quiet(t('config.how'))),
    h('p', { key: 'acts', class: 'acts' }, h('button', { class: 'primary', type: 'submit', 'aria-busy': own.saving ? 'true' : null }, t('act.save'))));
}
