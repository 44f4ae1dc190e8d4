// What a plugin's part on the page may ask: the least of what its plugin asked for, what it was granted, and what whoever looks may. Pure.
import { of } from './api.js';

const READ = { plugin: '', analytics: '/analytics', logs: '/logs' };
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'];
/** Of a request's headers, what says how it is to be answered. */
const HEADERS = ['accept', 'prefer', 'if-match', 'if-none-match'];
/** So much may be sent with one ask. */
const LARGEST = 256 * 1024;

const refused = (status, why) => ({ refused: why, status });

/** A wish of a part, as a request of the page: `{ method, path, body }`, or why it is none: `{ refused, status }`. */
export function asked(plugin, rights, isOperator, wish) {
  if (wish?.what !== 'call') return looked(plugin, rights, wish);
  if (!rights.includes('ui:call')) return refused(403, 'the plugin was not granted `ui:call`');
  if (!isOperator) return refused(403, 'this takes an operator');
  const { method, path } = wish;
  if (!METHODS.includes(method)) return refused(400, `the method is one of ${METHODS.join(', ')}`);
  if (typeof path !== 'string' || !/^\/(?!\/)[^\\#]*$/.test(path) || path.split(/[/?]/).some((part) => /^(\.|%2e){1,2}$/i.test(part))) return refused(400, 'the path begins with one `/`, and makes no detours');
  const wanted = Object.entries(wish.headers ?? {});
  if (wanted.some(([name, value]) => !HEADERS.includes(name) || typeof value !== 'string')) return refused(400, `the headers are some of ${HEADERS.join(', ')}`);
  const body = wish.body === undefined ? '' : json(wish.body);
  if (body === undefined || body.length > LARGEST) return refused(413, 'that is too much at once');
  const headers = { ...Object.fromEntries(wanted), ...(body && { 'content-type': 'application/json' }) };
  return { method: 'POST', path: of(plugin, '/try'), body: { method, path: `/api/v1/p/${plugin}${path}`, headers, body } };
}

/** As JSON, with integers that are too large for numbers (BigInt) as what they are. */
function json(value) {
  const mark = `${crypto.randomUUID()}:`;
  const text = JSON.stringify(value, (key, one) => (typeof one === 'bigint' ? mark + one : one));
  return text?.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}

function looked(plugin, rights, wish) {
  const of_whom = typeof wish?.of === 'string' ? wish.of : plugin;
  const right = of_whom === plugin ? 'ui:read' : 'ui:read:all';
  if (!rights.includes(right)) return refused(403, `the plugin was not granted \`${right}\``);
  if (!Object.hasOwn(READ, String(wish?.what))) return refused(400, `what is read is one of ${Object.keys(READ).join(', ')}`);
  const query = new URLSearchParams(typeof wish.query === 'string' ? wish.query : '');
  // A stream would have no end.
  query.delete('follow');
  const text = query.toString();
  return { method: 'GET', path: of(of_whom, READ[wish.what]) + (text ? `?${text}` : '') };
}

/** Counts what comes, and says whether it is too much: more than so many within a second. `now` in milliseconds. */
export function counter(most) {
  let second = 0;
  let count = 0;
  return (now) => {
    const at = Math.floor(now / 1000);
    if (at !== second) [second, count] = [at, 0];
    count += 1;
    return count > most;
  };
}
