// The page of powertable: its tables, and the rows of one of them, to look at, add, change and delete. What must not live here: how
// it is asked (`rows.js`), and the form of a row (`form.js`).
import { make } from './dom.js';
import { form } from './form.js';
import { PAGE, Rows } from './rows.js';
import { written } from './values.js';

class Editor {
  constructor(root, ctx) {
    Object.assign(this, { rows: new Rows(ctx), ctx, tables: [], table: null, order: 'id', offset: 0, shown: [], more: false });
    this.told = make('p', { class: 'told', role: 'status' });
    this.place = make('div', {});
    this.list = make('div', {});
    const looks = make('link', { rel: 'stylesheet', href: new URL('./tables.css', import.meta.url).href });
    root.append(looks, this.told, this.list, this.place);
  }

  say(text, undo = null) {
    this.told.replaceChildren(text, undo ? make('button', { onclick: () => this.attempt(undo) }, 'Undo') : '');
  }

  /** Does something, and says what went wrong. */
  async attempt(work) {
    this.say('');
    try {
      await work();
    } catch (error) {
      this.say(error.status === 403 ? `Its rows are for those who may: ${error.message}.` : `It was refused: ${error.message}.`);
    }
  }

  begin() {
    return this.attempt(async () => {
      this.tables = await this.rows.tables();
      this.table = this.tables.find(({ name }) => name === this.table?.name) ?? this.tables[0] ?? null;
      await this.look();
    });
  }

  async look() {
    if (this.table) {
      const { rows, more } = await this.rows.page(this.table, this);
      // The last rows of a page may be gone by now.
      if (!rows.length && this.offset > 0) return this.turn(-1);
      Object.assign(this, { shown: rows, more });
    }
    this.draw();
  }

  turn(by) {
    this.offset = Math.max(0, this.offset + by * PAGE);
    return this.look();
  }

  choose(name) {
    Object.assign(this, { table: this.tables.find((table) => table.name === name), order: 'id', offset: 0 });
    this.place.replaceChildren();
    return this.look();
  }

  sort(name) {
    this.order = this.order === name ? `${name}.desc` : name;
    this.offset = 0;
    return this.look();
  }

  edit(row) {
    const { table } = this;
    const close = () => this.place.replaceChildren();
    this.say('');
    this.place.replaceChildren(form(table, row, {
      cancel: close,
      save: async (changes, conditions) => {
        if (row === null) await this.rows.add(table, changes);
        else await this.rows.change(table, row.id, changes, conditions);
        close();
        await this.attempt(() => this.look());
        this.say(row === null ? 'It is added.' : `Row ${row.id} is saved.`);
      },
    }));
  }

  async remove(row) {
    const { table } = this;
    await this.rows.remove(table, row.id);
    this.place.replaceChildren();
    await this.look();
    this.say(`Row ${row.id} is deleted. `, async () => {
      await this.rows.add(table, row);
      await this.look();
      this.say(`Row ${row.id} is there again.`);
    });
  }

  draw() {
    if (!this.table) {
      this.list.replaceChildren(make('p', { class: 'none-yet' }, 'There are no tables yet. Define one with a request, as the README of powertable shows.'), make('button', { onclick: () => this.begin() }, 'Look again'));
      return;
    }
    const button = (text, work, props = {}) => make('button', { onclick: () => this.attempt(work), ...props }, text);
    const choice = make('select', { id: 'table', onchange: ({ target }) => this.attempt(() => this.choose(target.value)) }, this.tables.map(({ name }) => make('option', { value: name }, name)));
    choice.value = this.table.name;
    const from = this.offset + 1;
    this.list.replaceChildren(
      make('div', { class: 'bar' }, make('label', { for: 'table' }, 'Table'), choice, button('New row', async () => this.edit(null), { class: 'chief' }), button('Look again', () => this.begin()), make('span', { class: 'room' }),
        make('span', { class: 'quiet' }, this.shown.length ? `Rows ${from} to ${this.offset + this.shown.length}` : 'No rows'),
        button('Before', () => this.turn(-1), { disabled: this.offset === 0, 'aria-label': 'Rows before these' }), button('After', () => this.turn(1), { disabled: !this.more, 'aria-label': 'Rows after these' })),
      this.grid(button));
  }

  grid(button) {
    const columns = [{ name: 'id', type: 'integer' }, ...this.table.columns];
    const by = this.order.replace('.desc', '');
    const heads = columns.map((column) => make('th', { scope: 'col', 'aria-sort': by === column.name ? (this.order === by ? 'ascending' : 'descending') : null },
      column.type === 'json' ? column.name : button(column.name, () => this.sort(column.name), { 'aria-label': `Order by ${column.name}` })));
    const cell = (column, row) => {
      const value = row[column.name];
      return value === null ? make('td', { class: 'void' }, '—') : make('td', { title: written(column, value) }, written(column, value));
    };
    const body = this.shown.map((row) => make('tr', {}, columns.map((column) => cell(column, row)), make('td', { class: 'acts' },
      button('Edit', async () => this.edit(row), { 'aria-label': `Edit row ${row.id}` }), button('Delete', () => this.remove(row), { 'aria-label': `Delete row ${row.id}` }))));
    return make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Rows of ${this.table.name}` },
      make('table', {}, make('caption', { class: 'unseen' }, `Rows of ${this.table.name}`), make('thead', {}, make('tr', {}, heads, make('th', { scope: 'col' }, make('span', { class: 'unseen' }, 'Acts')))), make('tbody', {}, body)));
  }
}

export const pages = {
  tables: { mount: (root, ctx) => new Editor(root, ctx).begin() },
};
