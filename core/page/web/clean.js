// Text of others, made fit to be seen: colours of terminals are left out, and what is invisible or turns the direction of writing is
// shown as its number. Pure.

// eslint-disable-next-line no-control-regex
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

export function clean(text) {
  const all = String(text);
  if (all.search(UNSEEN) < 0) return all;
  return all.replace(ANSI, '').replace(/\r\n?/g, '\n')
    .replace(UNSEEN, (found) => `‹U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}›`);
}
