// What a JSON Schema means for a form: its fields, what they hold, and what is different from before. Pure. What must not live here:
// whether a configuration fits, which the server judges.
export const MASK = '********';

export function resolved(schema, root, depth = 0) {
  if (schema?.$ref?.startsWith?.('#') && depth < 8) {
    const found = schema.$ref.slice(1).split('/').slice(1).reduce((at, part) => at?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], root);
    return found ? resolved({ ...found, ...schema, $ref: undefined }, root, depth + 1) : {};
  }
  return schema && typeof schema === 'object' ? schema : {};
}

/** What sort of field it is. What no field is for is written as JSON. */
export function kind(schema) {
  if (schema.sensitive) return 'secret';
  if (Array.isArray(schema.enum)) return 'choice';
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== 'null') : schema.type;
  if (type === 'object' && schema.properties) return 'group';
  if (type === 'array' && ['string', 'integer', 'number'].includes(schema.items?.type)) return 'list';
  return { boolean: 'boolean', integer: 'integer', number: 'number', string: 'string' }[type] ?? 'json';
}

/** The fields of an object's schema, in its order. */
export function fields(schema, root = schema, pointer = '') {
  const whole = resolved(schema, root);
  return Object.entries(whole.properties ?? {}).map(([key, value]) => {
    const own = resolved(value, root);
    const at = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const field = { key, pointer: at, kind: kind(own), schema: own, required: whole.required?.includes(key) ?? false, label: own.title ?? key };
    if (field.kind === 'group') field.fields = fields(own, root, at);
    return field;
  });
}

const parts = (pointer) => pointer.split('/').slice(1).map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));

const own = (value, part) => (value !== null && typeof value === 'object' && Object.hasOwn(value, part) ? value[part] : undefined);

export const at = (value, pointer) => parts(pointer).reduce(own, value);

/** The same with another value there; `undefined` takes it out. */
export function put(value, pointer, to) {
  const [first, ...rest] = parts(pointer);
  if (first === undefined) return to;
  const copy = value && typeof value === 'object' && !Array.isArray(value) ? { ...value } : {};
  const next = rest.length ? put(own(copy, first) ?? {}, `/${rest.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/')}`, to) : to;
  // `__proto__` is a name like any other.
  if (next === undefined || (rest.length && to === undefined && !Object.keys(next).length)) delete copy[first];
  else Object.defineProperty(copy, first, { value: next, enumerable: true, writable: true, configurable: true });
  return copy;
}

/** What is different: `{ pointer, before, after }`, by place. */
export function difference(before, after, pointer = '') {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const plain = (value) => value && typeof value === 'object' && !Array.isArray(value);
  if (!plain(before) || !plain(after)) return [{ pointer, before, after }];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) => difference(before[key], after[key], `${pointer}/${key}`));
}

/** What somebody typed, as the value that it means; nothing typed is nothing set. */
export function read(kind, text) {
  if (text === '') return undefined;
  if (kind === 'integer' || kind === 'number') return Number.isFinite(Number(text)) ? Number(text) : text;
  if (kind === 'boolean') return text === 'true';
  if (kind === 'json') {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}
