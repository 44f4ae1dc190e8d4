// Values of rows: out of an answer, as people read and type them, and as conditions. Pure. Integers have 64 bits in the database and
// 53 in JSON as JavaScript reads it, so the larger ones are BigInts here.
const is_large = (value) => typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);

export const parsed = (text) => JSON.parse(text, (key, value, context) => (is_large(value) && context ? BigInt(context.source) : value));

const exact = (key, value) => (typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value);

/** As it stands in a field; nothing is an empty one. */
export function written(column, value) {
  if (value === null || value === undefined) return '';
  return column.type === 'json' ? JSON.stringify(value, exact) : String(value);
}

/** What somebody typed, as a value. What is none is left as it is: the server says why. */
export function typed(column, text) {
  if (column.type === 'text') return text;
  const short = text.trim();
  if (short === '') return null;
  if (column.type === 'boolean') return short === 'true';
  if (column.type === 'integer' && /^-?\d+$/.test(short)) return Number.isSafeInteger(Number(short)) ? Number(short) : BigInt(short);
  if (column.type === 'real' && Number.isFinite(Number(short))) return Number(short);
  if (column.type !== 'json') return short;
  try {
    return parsed(short);
  } catch {
    throw new Error('this is no JSON');
  }
}

/** That a column holds what it held: nothing is changed that somebody else changed meanwhile. Of JSON that cannot be asked. */
export const unchanged = (column, value) => (column.type === 'json' ? null : [column.name, value === null ? 'is.null' : `eq.${value}`]);
