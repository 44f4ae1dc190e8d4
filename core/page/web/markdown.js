// A README as a tree of the page's own: headings, lists, code, emphasis. Markup in it stays text, links show where they lead and lead
// nowhere, pictures are their words. Pure. What must not live here: a way to markup.
import { h } from './dom.js';

/** So much of one is shown: a tree of more would take seconds. */
export const MOST_SHOWN = 100_000;

const FENCE = /^\s{0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*))?$/;
const ITEM = /^\s*(?:([-*+])|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^\s{0,3}>/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ROW = /^\s*\|.*\|\s*$/;
// Each part has a bound, so that none is looked for over and over.
const INLINE = /(`{1,3})([^`]{1,500})\1|(!?)\[([^[\]]{0,500})\]\(([^()\s]{0,500})(?:\s[^()]{0,200})?\)|<(https?:\/\/[^<>\s]{1,500})>|\*\*([^*]{1,500})\*\*|\*([^*\s][^*]{0,500})\*|\b_([^_\s][^_]{0,500})_\b/g;

/** What stands in a line. */
export function inline(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [all, , code, picture, label, to, address, strong, weak, under] = found;
    parts.push(text.slice(from, found.index));
    from = found.index + all.length;
    if (code !== undefined) parts.push(h('code', null, code));
    else if (label !== undefined) parts.push(picture ? (label || to) : [label, label !== to && to && [' (', h('code', null, to), ')']]);
    else if (address !== undefined) parts.push(h('code', null, address));
    else if (strong !== undefined) parts.push(h('strong', null, strong));
    else parts.push(h('em', null, weak ?? under));
  }
  return [...parts, text.slice(from)].filter((part) => part !== '');
}

const special = (line) => !line.trim() || FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || QUOTE.test(line) || RULE.test(line) || ROW.test(line);

/** The whole; its first heading is one of this level, and none is more than one below the one before it. */
export function markdown(text, top = 3) {
  const lines = text.slice(0, MOST_SHOWN).replaceAll('\r\n', '\n').split('\n');
  const blocks = [];
  let level = top - 1;
  let highest = 6;
  let at = 0;
  const take = (fits) => {
    const from = at;
    while (at < lines.length && fits(lines[at])) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line)?.[1];
    const heading = HEADING.exec(line);
    if (fence) {
      at += 1;
      blocks.push(h('pre', { tabindex: '0' }, take((one) => !one.trim().startsWith(fence)).join('\n')));
      at += 1;
    } else if (heading) {
      highest = Math.min(highest, heading[1].length);
      level = Math.min(6, level + 1, top + heading[1].length - highest);
      blocks.push(h(`h${level}`, null, inline((heading[2] ?? '').replace(/\s#+\s*$/, ''))));
      at += 1;
    } else if (RULE.test(line)) {
      blocks.push(h('hr', null));
      at += 1;
    } else if (ITEM.test(line)) blocks.push(list(take((one) => ITEM.test(one) || (/^\s+\S/.test(one) && !FENCE.test(one)))));
    else if (QUOTE.test(line)) blocks.push(h('blockquote', null, inline(take((one) => QUOTE.test(one)).map((one) => one.replace(/^[\s>]+/, '')).join(' '))));
    else if (ROW.test(line)) blocks.push(h('pre', { tabindex: '0' }, take((one) => ROW.test(one)).join('\n')));
    else if (!line.trim()) at += 1;
    else {
      const first = lines[at];
      at += 1;
      blocks.push(h('p', null, inline([first, ...take((one) => !special(one))].map((one) => one.trim()).join(' '))));
    }
  }
  return blocks;
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item) items.push(item[2]);
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return h(ITEM.exec(lines[0])[1] ? 'ul' : 'ol', null, items.map((item) => h('li', null, inline(item))));
}
