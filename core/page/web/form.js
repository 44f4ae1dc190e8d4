// A form made of a JSON Schema: each field with what it is for, what it is without a word, and what the server finds wrong with it.
// What must not live here: the saving.
import { h } from './dom.js';
import { fieldFor, fieldPart } from './extensions.js';
import { t } from './messages.js';
import { at, fields, MASK, put, read } from './schema.js';

const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

/**
 * `draft` is what the form held when it was drawn; `set` takes what makes another one of what it holds by then, for two fields may be
 * changed between two drawings; `misfits` are the server's words, by place.
 */
export function form(schema, { draft, kept, misfits, set, plugin = null }) {
  return fields(schema).map((field) => part(field, { draft, kept, misfits, set, plugin }));
}

function part(field, all) {
  if (field.kind === 'group') {
    return h('fieldset', { key: field.pointer }, h('legend', null, field.label), field.schema.description && h('p', { class: 'quiet' }, field.schema.description),
      field.fields.map((one) => part(one, all)));
  }
  const { draft, kept, misfits, set, plugin } = all;
  // The plain field stays: whatever a part of a plugin's does not do is done there.
  const brought = field.kind === 'string' && plugin ? fieldFor(field.schema.format, plugin) : null;
  const id = `field${field.pointer.replaceAll(/[^A-Za-z0-9_-]/g, '-')}`;
  const wrong = misfits.filter(({ pointer }) => pointer === field.pointer || pointer.startsWith(`${field.pointer}/`));
  const value = at(draft, field.pointer);
  const change = (next) => set((held) => put(held, field.pointer, next));
  const label = [field.label, field.required && h('span', { class: 'quiet' }, ` (${t('config.required')})`)];
  const common = { id, 'aria-describedby': `${id}-how ${id}-wrong`, 'aria-invalid': wrong.length ? 'true' : null, 'aria-required': field.required ? 'true' : null };
  const list = field.kind === 'list';
  return h('div', { key: field.pointer, class: 'field' },
    list ? h('span', { id: `${id}-label`, class: 'label' }, label) : h('label', { for: id }, label),
    list ? items(field, value, set, id) : control(field, { value, was: at(kept, field.pointer), change, common }),
    brought && fieldPart(brought, { slot: field.pointer, value, label: field.label, hear: (next) => change(next || undefined) }),
    h('p', { id: `${id}-how`, class: 'quiet' }, field.schema.description ?? '', field.schema.default !== undefined && field.kind !== 'secret' && ` ${t('config.default', { value: shown(field.schema.default) })}`),
    h('p', { id: `${id}-wrong`, class: 'bad' }, wrong.map((one) => t('config.expected', one)).join(' ')));
}

function control(field, { value, was, change, common }) {
  const typed = (event) => change(read(field.kind, event.target.value));
  switch (field.kind) {
    case 'secret':
      // What is kept is never here: only whether something is.
      return h('input', { ...common, type: 'password', autocomplete: 'new-password', placeholder: t(was === MASK ? 'config.secret' : 'config.secret.none'), oninput: (event) => change(event.target.value || (was === MASK ? MASK : undefined)) });
    case 'choice':
      return h('select', { ...common, value: value === undefined ? '' : JSON.stringify(value), onchange: (event) => change(event.target.value ? JSON.parse(event.target.value) : undefined) },
        h('option', { value: '' }, t('config.unset')), field.schema.enum.map((one) => h('option', { value: JSON.stringify(one) }, shown(one))));
    case 'boolean':
      return h('select', { ...common, value: value === undefined ? '' : String(value), onchange: typed },
        h('option', { value: '' }, t('config.unset')), h('option', { value: 'true' }, t('yes')), h('option', { value: 'false' }, t('no')));
    case 'integer':
    case 'number':
      return h('input', { ...common, type: 'text', inputmode: field.kind === 'integer' ? 'numeric' : 'decimal', value: value ?? '', oninput: typed });
    case 'json':
      return h('textarea', { ...common, rows: '4', spellcheck: 'false', value: value === undefined ? '' : shown(value), oninput: typed });
    default:
      return h('input', { ...common, type: 'text', value: value ?? '', oninput: typed });
  }
}

const listed = (value) => (Array.isArray(value) ? value : []);

function items(field, value, set, id) {
  const kind = field.schema.items.type;
  const change = (next) => set((held) => put(held, field.pointer, next(listed(at(held, field.pointer)))));
  const replace = (index, ...to) => change((list) => [...list.slice(0, index), ...to, ...list.slice(index + 1)]);
  return h('div', { role: 'group', 'aria-labelledby': `${id}-label`, class: 'items' },
    listed(value).map((item, index) => h('div', { key: `${index}` },
      h('input', { type: 'text', 'aria-label': `${field.label} ${index + 1}`, value: item, oninput: (event) => replace(index, read(kind, event.target.value) ?? '') }),
      h('button', { type: 'button', class: 'ghost', 'aria-label': t('config.removeItem', { number: index + 1 }), onclick: () => replace(index) }, '×'))),
    h('button', { type: 'button', onclick: () => change((list) => [...list, kind === 'string' ? '' : 0]) }, t('config.add')));
}
