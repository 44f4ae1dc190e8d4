// What a part of a plugin's asks of the server, answered as far as it may. What must not live here: what it may (`rights.js`), and how
// its asks come here.
import { act, ask } from './api.js';
import { t } from './messages.js';
import { asked } from './rights.js';
import { may } from './store.js';

/** So many asks of a part are answered at once. */
const MOST = 8;

/** `offer()` is what the part's plugin brings now. What is refused throws, with a `status`. */
export function asks(offer) {
  let running = 0;
  return async (wish) => {
    const { plugin, rights } = offer();
    const wanted = running >= MOST ? { refused: t('ext.asks', { most: MOST }), status: 429 } : asked(plugin, rights, may('operator'), wish);
    if (wanted.refused) throw Object.assign(new Error(wanted.refused), { status: wanted.status });
    running += 1;
    try {
      return wish.what === 'call' ? await act(wanted.method, wanted.path, { body: wanted.body }) : await (await ask(wanted.method, wanted.path)).json();
    } catch (problem) {
      throw Object.assign(new Error(problem.message || t('refused.offline')), { status: problem.status ?? 0 });
    } finally {
      running -= 1;
    }
  };
}
