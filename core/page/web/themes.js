// How the page is coloured: as the system is, one of its own looks, or a theme of a plugin's, whose names and contrasts the server has
// checked. What is chosen is kept in this browser. What must not live here: the page's own colours, which are in `style.css`.
import { extensions } from './extensions.js';
import { t } from './messages.js';
import { changed } from './store.js';

const OWN = ['auto', 'light', 'dark', 'contrast'];
let chosen = stored() ?? 'auto';
let worn = null;

function stored() {
  try {
    return localStorage.getItem('theme');
  } catch {
    return null;
  }
}

/** All that there are: `{ value, title, theme }`. */
function all() {
  const brought = [...(extensions()?.values() ?? [])].flatMap(({ plugin, themes }) => themes.map((theme) => ({ value: `${plugin}/${theme.id}`, title: `${theme.title} (${plugin})`, theme })));
  return [...OWN.map((name) => ({ value: name, title: t(`theme.${name}`) })), ...brought];
}

/** For a choice of them: what there is, and which is worn. What is chosen and not there now is worn again when it comes. */
export function themes() {
  const list = all();
  const now = list.find(({ value }) => value === chosen) ?? list[0];
  wear(now);
  return { list, value: now.value };
}

export function choose(value) {
  chosen = value;
  try {
    localStorage.setItem('theme', value);
  } catch {
    // It holds until the page is closed, then.
  }
  changed();
}

function wear({ value, theme }) {
  const look = theme ? `${value} ${JSON.stringify(theme.tokens)}` : value;
  if (look === worn) return;
  worn = look;
  const { dataset, style } = document.documentElement;
  for (const name of [...style]) if (name.startsWith('--')) style.removeProperty(name);
  dataset.theme = theme ? (theme.dark ? 'dark' : 'light') : value;
  dataset.look = look;
  for (const [name, colour] of Object.entries(theme?.tokens ?? {})) style.setProperty(`--${name}`, colour);
}
