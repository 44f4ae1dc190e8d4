// A part of a plugin's in a frame without an origin, which reaches the page through a port alone: from its beginning until it stands,
// and then until it goes. What must not live here: which parts there are, and what a part may ask.
import { asks } from './asks.js';
import { say } from './dialogs.js';
import { t } from './messages.js';
import { counter } from './rights.js';

/** So many messages of a part are taken in a second, and so high is it at most. */
const MESSAGES = 100;
const HIGHEST = 4000;
/** The longest text that a field sets. */
const LONGEST = 64 * 1024;

/** On this machine a plugin's frames have a host of their own, to which a browser that can gives a process of its own. */
function homeOf(plugin) {
  const { protocol, hostname, port, origin } = location;
  const can = protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(hostname) && navigator.userAgentData;
  return can ? `${protocol}//${plugin}.localhost${port && `:${port}`}` : origin;
}

export class Framed {
  constructor(holder, offer, place, { told, patience, colours }) {
    Object.assign(this, { offer, told, isMounted: false, isOver: false, floods: counter(MESSAGES) });
    this.ask = asks(() => this.offer);
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.onmessage = ({ data }) => this.hear(data);
    this.element = document.createElement('iframe');
    this.element.setAttribute('sandbox', 'allow-scripts');
    this.element.title = place.title;
    this.element.className = 'coming';
    const home = homeOf(offer.plugin);
    this.element.src = `${home}/frame/${encodeURIComponent(offer.plugin)}/${offer.digest}/`;
    const wish = { kind: 'begin', plugin: offer.plugin, module: `${home}${offer.base}${place.module}`, place: place.where, id: place.id, language: document.documentElement.lang, colours, given: place.given };
    this.element.addEventListener('load', () => {
      // One that was moved in the document, where that begins frames anew, or that went elsewhere by itself.
      if (this.isBegun) return this.told.again ? this.told.again(this) : this.fail(t('ext.again'));
      this.isBegun = true;
      this.element.contentWindow.postMessage(wish, '*', [port2]);
    });
    this.timer = setTimeout(() => this.fail(t('ext.slow', { seconds: patience / 1000 })), patience);
    holder.append(this.element);
  }

  hear(message) {
    if (this.isOver) return;
    if (this.floods(performance.now())) return this.fail(t('ext.floods'));
    const { kind } = message ?? {};
    if (kind === 'mounted' && !this.isMounted) {
      this.isMounted = true;
      clearTimeout(this.timer);
      this.told.mounted(this);
    } else if (kind === 'failed') this.isMounted ? this.told.wrong(String(message.why)) : this.fail(String(message.why));
    else if (kind === 'height') this.element.style.height = `${Math.max(24, Math.min(HIGHEST, Number(message.pixels) || 0))}px`;
    else if (kind === 'ask') this.answer(message);
    else if (kind === 'say') say(`${this.offer.plugin}: ${String(message.text).slice(0, 300)}`);
    else if (kind === 'set') typeof message.value === 'string' && message.value.length <= LONGEST && this.told.set?.(message.value, this);
    else if (kind === 'palette') document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true, bubbles: true }));
  }

  async answer(wish) {
    const told = await this.ask(wish).then((answer) => ({ answer }), ({ message, status }) => ({ refused: message, status }));
    if (!this.isOver) this.port.postMessage({ kind: 'answer', number: wish.number, ...told });
  }

  update(change) {
    this.port.postMessage({ kind: 'update', ...change });
  }

  fail(why) {
    this.told.failed(this, why);
    this.end();
  }

  /** What it began ends; then its frame goes, and everything in it. */
  end() {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.port.postMessage({ kind: 'end' });
    this.port.close();
    this.element.remove();
  }
}
