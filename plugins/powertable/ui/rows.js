// What the editor asks of the plugin, through the page. What is refused is a `Refused`: a sentence, and the column that it is about.
import { parsed } from './values.js';

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.message ?? problem.detail ?? `status ${status}`);
    this.status = status;
    this.column = problem.column ?? null;
  }
}

/** The rows of a page of them. */
export const PAGE = 25;

export class Rows {
  constructor(ctx) {
    this.ctx = ctx;
  }

  async ask(method, path, body, headers) {
    const answer = await this.ctx.call(method, path, body, headers);
    if (answer.status < 400) {
      if (answer.cut) throw new Error('that is more than can be shown');
      return answer.body ? parsed(answer.body) : null;
    }
    let problem = {};
    try {
      problem = JSON.parse(answer.body);
    } catch {
      // It is no problem document: its status says enough.
    }
    throw new Refused(answer.status, problem);
  }

  tables() {
    return this.ask('GET', '/tables').then(({ items }) => items);
  }

  /** A page of rows, and whether there are more. */
  async page(table, { order, offset }) {
    const rows = await this.ask('GET', `/${table.name}?${new URLSearchParams({ order, offset, limit: PAGE + 1 })}`);
    return { rows: rows.slice(0, PAGE), more: rows.length > PAGE };
  }

  add(table, row) {
    return this.ask('POST', `/${table.name}`, row);
  }

  /** Changes a row, if `conditions` still hold of it. */
  async change(table, id, changes, conditions) {
    const query = new URLSearchParams([['id', `eq.${id}`], ...conditions, ['select', 'id']]);
    const changed = await this.ask('PATCH', `/${table.name}?${query}`, changes, { prefer: 'return=representation' });
    if (!changed.length) throw new Error('somebody else changed or deleted it meanwhile: look again');
  }

  remove(table, id) {
    return this.ask('DELETE', `/${table.name}?${new URLSearchParams({ id: `eq.${id}` })}`);
  }
}
