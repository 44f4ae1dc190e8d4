// Which widgets stand on a dashboard, in which order, and how they are set: as it is kept, and as it travels in a link. Pure. What must
// not live here: where it is kept.
const MOST = 60;
const is_word = (value) => typeof value === 'string' && /^[a-z][a-z0-9-]{0,60}$/.test(value);

/** A layout as it comes from elsewhere, as far as it is one: `[{ plugin, id, config? }]`; or null, also where nothing stands in it. */
export function checked(layout) {
  const list = layout?.widgets;
  if (!Array.isArray(list)) return null;
  const one = ({ plugin, id, config }) => ({ plugin, id, ...(config && typeof config === 'object' && !Array.isArray(config) && { config }) });
  const fit = list.filter((item) => item && is_word(item.plugin) && is_word(item.id)).slice(0, MOST).map(one);
  return fit.length ? fit : null;
}

/** As a part of a link. */
export function written(list) {
  const bytes = new TextEncoder().encode(JSON.stringify({ widgets: list }));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Out of a link; null if it is none. */
export function read(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
    return checked(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return null;
  }
}

/** The same with the widget at a place moved by so many. */
export function moved(list, index, by) {
  const to = index + by;
  if (to < 0 || to >= list.length) return list;
  const copy = [...list];
  [copy[index], copy[to]] = [copy[to], copy[index]];
  return copy;
}

/** How a widget is set. What came in a link is whoever's who wrote it: parts that run in the page itself take it once it is kept. */
export const settings = (item, { widget, trusted } = {}, linked = false) => (linked && trusted ? undefined : item.config) ?? widget?.default ?? {};

export const without = (list, index) => list.filter((_, at) => at !== index);
export const configured = (list, index, config) => list.map((item, at) => (at === index ? { ...item, config } : item));
