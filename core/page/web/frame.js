// What runs in a plugin's frame before its module: brings it in, mounts one part of it, and carries what it asks to the page, which
// decides. What must not live here: what a part may, for nothing in a frame can be trusted to decide that.
let port = null;
let asked = 0;
const waiting = new Map();
const ending = new AbortController();
let mounted = null;
let module = null;

function ask(wish) {
  return new Promise((resolve, reject) => {
    const number = ++asked;
    waiting.set(number, { resolve, reject });
    port.postMessage({ kind: 'ask', number, ...wish });
  });
}

function dress(colours) {
  for (const [name, value] of Object.entries(colours)) document.documentElement.style.setProperty(name, value);
}

/** What a module is given: see the guide "Extending the page". */
function context({ plugin, id, language, given }) {
  return Object.freeze({
    plugin, id, language, signal: ending.signal, ...given,
    read: (what, query = '', of = plugin) => ask({ what, query: String(query), of }),
    call: (method, path, body, headers) => ask({ what: 'call', method, path, body, headers }),
    set: (value) => port.postMessage({ kind: 'set', value: String(value) }),
    say: (text) => port.postMessage({ kind: 'say', text: String(text) }),
  });
}

async function begin(wish) {
  dress(wish.colours);
  module = await import(wish.module);
  const work = wish.place === 'menus' ? 'run' : 'mount';
  const part = module[wish.place]?.[wish.id];
  if (typeof part?.[work] !== 'function') throw new Error(`the module exports no \`${wish.place}.${wish.id}.${work}\``);
  const ctx = context(wish);
  await module.onLoad?.(ctx);
  mounted = (work === 'run' ? await part.run(ctx) : await part.mount(document.body, ctx)) ?? {};
  const tell = () => port.postMessage({ kind: 'height', pixels: Math.ceil(document.body.getBoundingClientRect().height) });
  const watching = new ResizeObserver(tell);
  watching.observe(document.body);
  ending.signal.addEventListener('abort', () => watching.disconnect());
  tell();
}

const failed = (why) => port.postMessage({ kind: 'failed', why: String(why?.message ?? why).slice(0, 2000) });

async function end() {
  ending.abort();
  await module?.onUnload?.();
}

function hear({ data }) {
  if (data.kind === 'answer') {
    const waits = waiting.get(data.number);
    waiting.delete(data.number);
    if (data.refused === undefined) waits?.resolve(data.answer);
    else waits?.reject(Object.assign(new Error(data.refused), { status: data.status }));
  } else if (data.kind === 'update') {
    if (data.colours) dress(data.colours);
    const { kind, ...change } = data;
    Promise.resolve(mounted?.update?.(change)).catch(failed);
  } else if (data.kind === 'end') end().catch(() => {});
}

addEventListener('message', ({ data, source, ports }) => {
  if (source !== parent || port || data?.kind !== 'begin') return;
  port = ports[0];
  port.onmessage = hear;
  begin(data).then(() => port.postMessage({ kind: 'mounted' }), failed);
});
addEventListener('error', ({ message }) => port && failed(message));
addEventListener('unhandledrejection', ({ reason }) => port && failed(reason));
// Keys that are the page's do not come out of a frame by themselves.
addEventListener('keydown', (event) => {
  if (!port || !((event.ctrlKey || event.metaKey) && event.key === 'k')) return;
  event.preventDefault();
  port.postMessage({ kind: 'palette' });
});
