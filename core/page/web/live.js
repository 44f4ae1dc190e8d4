// Streams: one that is lost is asked for again every second, and says meanwhile since when. A page that nobody sees has none, for a
// browser has few connections to one server. What must not live here: what is done with what they say.
const AGAIN = 1000;

/** Follows a stream; ends when the signal does. `lost` hears that it dropped, `found` that it is there. */
export function follow(path, hear, { signal, found = () => {}, lost = () => {} }) {
  let source = null;
  let timer = null;
  let last = null;
  const open = () => {
    close();
    if (signal.aborted || document.hidden) return;
    const resumed = last === null ? path : `${path}${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(last)}`;
    source = new EventSource(resumed);
    source.onopen = found;
    source.onmessage = (event) => {
      if (event.lastEventId) last = event.lastEventId;
      hear(JSON.parse(event.data));
    };
    source.onerror = () => {
      close();
      lost();
      timer = setTimeout(open, AGAIN);
    };
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  document.addEventListener('visibilitychange', open, { signal });
  signal.addEventListener('abort', close);
  open();
}

/** Looks now, and again every so many milliseconds for as long as somebody sees the page and the signal does not say otherwise. */
export function every(milliseconds, look, signal) {
  look();
  const timer = setInterval(() => document.hidden || look(), milliseconds);
  signal.addEventListener('abort', () => clearInterval(timer));
}
