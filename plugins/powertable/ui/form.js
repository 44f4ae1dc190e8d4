// The form of one row: a field for each column, with what is wrong with it beside it. What must not live here: what is done with it.
import { make } from './dom.js';
import { typed, unchanged, written } from './values.js';

let forms = 0;

/** `row` is null for a new one. `save` gets what is to be written, and the conditions that must hold; what it throws is shown. */
export function form(table, row, { save, cancel }) {
  const number = (forms += 1);
  const fields = table.columns.map((column) => field(column, row, `f${number}-${column.name}`));
  const told = make('p', { class: 'wrong', role: 'alert' });
  const submit = async () => {
    told.textContent = '';
    fields.forEach((one) => one.blame(''));
    const changes = {};
    for (const one of fields.filter(({ isTouched }) => isTouched())) {
      try {
        changes[one.column.name] = one.value();
      } catch (error) {
        return one.blame(error.message, true);
      }
    }
    const lacking = fields.find(({ column, value, isTouched }) => column.required && (isTouched() ? value() === null : row === null && column.default === undefined));
    if (lacking) return lacking.blame('it must have a value', true);
    if (!Object.keys(changes).length && row !== null) return cancel();
    const conditions = row === null ? [] : fields.filter(({ isTouched }) => isTouched()).map(({ column }) => unchanged(column, row[column.name])).filter(Boolean);
    button.disabled = true;
    try {
      await save(changes, conditions);
    } catch (error) {
      const one = fields.find(({ column }) => column.name === error.column);
      if (one) one.blame(error.message, true);
      else told.textContent = error.message;
    }
    button.disabled = false;
  };
  const button = make('button', { type: 'button', class: 'chief', onclick: submit }, row === null ? 'Add' : 'Save');
  const title = row === null ? `New row of ${table.name}` : `Row ${row.id} of ${table.name}`;
  const keys = ({ key, target }) => {
    if (key === 'Escape') cancel();
    else if (key === 'Enter' && target.localName === 'input' && target.type !== 'checkbox') submit();
  };
  // No form of HTML's: those are sent, which a frame of a plugin's may not.
  const whole = make('div', { role: 'form', 'aria-label': title, onkeydown: keys },
    make('h2', {}, title), fields.map(({ element }) => element), told,
    make('p', { class: 'acts' }, button, make('button', { type: 'button', onclick: cancel }, 'Cancel')));
  queueMicrotask(() => fields[0].focus());
  return whole;
}

const HOLDS = { text: 'text', integer: 'whole number', real: 'number', boolean: 'true or false', json: 'JSON', timestamp: 'time, as 2026-01-31T12:00:00Z' };

function field(column, row, id) {
  const before = row === null ? null : row[column.name];
  let isTouched = false;
  const touch = () => { isTouched = true; };
  const common = { id, 'aria-describedby': `${id}-how ${id}-wrong`, 'aria-required': column.required ? 'true' : null };
  const control = column.type === 'boolean'
    ? make('select', { ...common, onchange: touch }, [['', 'no value'], ['true', 'true'], ['false', 'false']].map(([value, text]) => make('option', { value }, text)))
    : make(column.type === 'text' || column.type === 'json' ? 'textarea' : 'input', { ...common, rows: '1', spellcheck: 'false', autocomplete: 'off', oninput: () => { touch(); if (none) none.checked = false; } });
  control.value = written(column, before);
  // An empty text is a text: that there is none is said beside it.
  const none = column.type === 'text' && !column.required ? make('input', { type: 'checkbox', checked: before === null, onchange: () => { touch(); if (none.checked) control.value = ''; } }) : null;
  const wrong = make('span', { id: `${id}-wrong`, class: 'wrong', role: 'alert' });
  const how = [HOLDS[column.type], column.required && 'required', column.unique && 'unique', column.default !== undefined && row === null && `default ${JSON.stringify(column.default)}`, column.references && `refers to ${column.references.table}.${column.references.column}`].filter(Boolean).join(', ');
  return {
    column,
    isTouched: () => isTouched,
    value: () => (none?.checked ? null : typed(column, control.value)),
    focus: () => control.focus(),
    blame(why, isFocused = false) {
      wrong.textContent = why;
      if (why) control.setAttribute('aria-invalid', 'true');
      else control.removeAttribute('aria-invalid');
      if (isFocused) control.focus();
    },
    element: make('div', { class: 'field' }, make('label', { for: id }, column.name), control,
      none && make('label', { class: 'none' }, none, ' no value'), make('span', { id: `${id}-how`, class: 'how' }, how), wrong),
  };
}
